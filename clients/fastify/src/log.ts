/** Says what goes wrong once in a while instead of once a request. Never logs tokens, bodies or addresses. */

import type { FastifyBaseLogger } from "fastify";

export type Level = "error" | "warn" | "info";

/** A log in which a kind of message appears at most once per interval, with the number of those left out. */
export class SparseLog {
  readonly #log: FastifyBaseLogger;
  readonly #intervalMs: number;
  readonly #kinds = new Map<string, { next: number; suppressed: number }>();

  constructor(log: FastifyBaseLogger, intervalMs: number) {
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** `kind` is one of a closed set, so that the map stays small. */
  say(level: Level, kind: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const now = performance.now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && now < known.next) {
      known.suppressed += 1;
      return;
    }
    this.#kinds.set(kind, { next: now + this.#intervalMs, suppressed: 0 });
    const suppressed = known?.suppressed ?? 0;
    this.#log[level]({ ...fields, ...(suppressed > 0 ? { suppressed } : {}) }, `ai budget: ${message}`);
  }
}
