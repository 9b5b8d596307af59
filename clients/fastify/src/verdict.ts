/**
 * Refusals that were given lately, in this process and, shared, in Redis.
 *
 * Invariant: a refusal is only repeated where the service would refuse as well: for the same tenant, model, user,
 * report type and tier, for at least as many tokens of each kind, and no longer than the service said to wait.
 */

import { createHash } from "node:crypto";

import type { Refusal, Subject } from "./client.js";
import { isNumberText, parseObject, stringOf } from "./json.js";
import type { Estimate } from "./options.js";
import type { SharedCache } from "./redis.js";

const PREFIX = "bursar:verdict:";

/** The counts that make a request larger. */
type Counts = readonly [number, number, number, number, number];

interface Verdict {
  readonly counts: Counts;
  readonly refusal: Refusal;
  /** When the caller may come again, in milliseconds since 1970. */
  readonly retryAt: number;
  /** Until when it is repeated. */
  readonly expiresAt: number;
}

export class VerdictCache {
  readonly #local = new Map<string, Verdict>();
  readonly #entries: number;
  readonly #ttlMs: number;
  readonly #service: string;
  readonly #shared: SharedCache | undefined;
  readonly #writes = new Set<Promise<void>>();

  /** `service` keeps apart what several services say in one Redis. */
  constructor(service: string, entries: number, ttlMs: number, shared: SharedCache | undefined) {
    this.#service = service;
    this.#entries = entries;
    this.#ttlMs = ttlMs;
    this.#shared = shared;
  }

  /** The refusal that holds for this request, with what is left to wait. */
  async find(subject: Subject, estimate: Estimate): Promise<Refusal | undefined> {
    if (this.#ttlMs === 0) return undefined;
    const key = this.#key(subject, estimate);
    const counts = countsOf(estimate);
    const local = this.#local.get(key);
    if (local !== undefined) {
      const refusal = repeated(local, counts);
      if (refusal !== undefined) {
        this.#keep(key, local);
        return refusal;
      }
      if (Date.now() >= local.expiresAt) this.#local.delete(key);
    }
    const text = await this.#shared?.get(key);
    const verdict = text === undefined ? undefined : read(text, this.#ttlMs);
    if (verdict === undefined) return undefined;
    const refusal = repeated(verdict, counts);
    if (refusal !== undefined) this.#keep(key, verdict);
    return refusal;
  }

  /** Remembers a refusal. */
  put(subject: Subject, estimate: Estimate, refusal: Refusal): void {
    const now = Date.now();
    const wait = refusal.retryAfterSeconds * 1000;
    const reset = refusal.resetsAt === undefined ? Number.POSITIVE_INFINITY : refusal.resetsAt - now;
    const ttlMs = Math.floor(Math.min(this.#ttlMs, wait, reset));
    if (ttlMs <= 0) return;
    const key = this.#key(subject, estimate);
    const verdict = { counts: countsOf(estimate), refusal, retryAt: now + wait, expiresAt: now + ttlMs };
    this.#keep(key, verdict);
    if (this.#shared === undefined) return;
    const write = this.#shared.set(key, JSON.stringify(verdict), ttlMs).finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /** Waits for what is being written, each within the deadline of Redis, and closes the connection. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#writes);
    this.#shared?.close();
  }

  #key(subject: Subject, estimate: Estimate): string {
    const parts = [
      this.#service,
      subject.tenant,
      estimate.model,
      subject.user ?? null,
      subject.reportType ?? null,
      estimate.serviceTier ?? "standard",
    ];
    return PREFIX + createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
  }

  /** The map is in the order of use, so the first entry is the one that was used longest ago. */
  #keep(key: string, verdict: Verdict): void {
    this.#local.delete(key);
    this.#local.set(key, verdict);
    if (this.#local.size <= this.#entries) return;
    for (const oldest of this.#local.keys()) {
      this.#local.delete(oldest);
      break;
    }
  }
}

function countsOf(estimate: Estimate): Counts {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens } = estimate;
  return [inputTokens, outputTokens, cacheReadTokens ?? 0, cacheWrite5mTokens ?? 0, cacheWrite1hTokens ?? 0];
}

/** The refusal, where it also holds for a request of these counts now. */
function repeated(verdict: Verdict, counts: Counts): Refusal | undefined {
  const now = Date.now();
  if (now >= verdict.expiresAt) return undefined;
  if (!verdict.counts.every((count, index) => (counts[index] ?? 0) >= count)) return undefined;
  const retryAfterSeconds = Math.max(Math.ceil((verdict.retryAt - now) / 1000), 1);
  return { ...verdict.refusal, retryAfterSeconds };
}

/** Reads what is in Redis; others can write there, so nothing is taken for granted. */
function read(text: string, ttlMs: number): Verdict | undefined {
  const value = parseObject(text)?.value;
  const counts = value?.["counts"];
  const refusal = value && parseObject(JSON.stringify(value["refusal"]))?.value;
  const [retryAt, expiresAt] = [value?.["retryAt"], value?.["expiresAt"]];
  if (refusal === undefined || !Array.isArray(counts) || counts.length !== 5) return undefined;
  if (!counts.every((count) => Number.isSafeInteger(count))) return undefined;
  if (!Number.isSafeInteger(retryAt) || !Number.isSafeInteger(expiresAt)) return undefined;
  const currentUsageUsd = refusal["currentUsageUsd"];
  const monthlyLimitUsd = refusal["monthlyLimitUsd"];
  const percentageUsed = refusal["percentageUsed"];
  if (!isNumberText(currentUsageUsd) || !isNumberText(monthlyLimitUsd) || !isNumberText(percentageUsed)) {
    return undefined;
  }
  const resetsAt = Number.isSafeInteger(refusal["resetsAt"]) ? (refusal["resetsAt"] as number) : undefined;
  return {
    counts: counts as unknown as Counts,
    refusal: {
      currentUsageUsd,
      monthlyLimitUsd,
      percentageUsed,
      message: stringOf(refusal, "message") ?? "",
      retryAfterSeconds: 1,
      resetsAt,
    },
    retryAt: retryAt as number,
    // The clocks of two machines differ.
    expiresAt: Math.min(expiresAt as number, Date.now() + ttlMs),
  };
}
