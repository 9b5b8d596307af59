/** The part of one request: what is held for it, and how that ends. */

import { randomUUID } from "node:crypto";

import type { Approval, Subject } from "./client.js";
import { extras } from "./client.js";
import type { Estimate, Usage } from "./options.js";
import type { Outbox } from "./outbox.js";

/** What a handler finds at `request.aiBudget`. Amounts are decimal digits, exactly as the service sent them. */
export interface AiBudgetCall {
  /** Who pays. */
  readonly tenant: string;
  /** Who within the tenant. */
  readonly user: string | undefined;
  /** What for. */
  readonly reportType: string | undefined;
  /** Names the call at the service: the reservation and the entry of the ledger. */
  readonly requestId: string;
  /** What the check was made with. */
  readonly estimate: Estimate;
  /** How the budget stood; nothing when the service did not answer and the request was let through. */
  readonly approval: Approval | undefined;
  /**
   * Reports what was used, once, at any time. Returns at once; delivery happens in the background. False when it was
   * not taken: reported before, or numbers that can't be right, in which case the hold is kept. Usage without a token
   * is no usage: it counts as `release`.
   */
  track(usage: Usage): boolean;
  /** Nothing was used and nothing will be: releases what is held now. */
  release(): void;
  /** What is held outlives the request. Goes without saying once the handler has started; hooks before it say it. */
  keep(): void;
}

/** A release that overtakes a check which got no answer would find nothing to release. */
const OVERTAKE_MS = 2000;

/** The service works on a check for half a minute at most, and may be some seconds away. */
const CHECK_MOST_MS = 35_000;

const TOKENS_MOST = 1_000_000_000;

export class Call implements AiBudgetCall {
  readonly tenant: string;
  readonly user: string | undefined;
  readonly reportType: string | undefined;
  readonly requestId = randomUUID();
  readonly estimate: Estimate;
  approval: Approval | undefined;
  readonly #outbox: Outbox;
  readonly #invalid: (requestId: string) => void;
  /** Whether the service holds money for it: no, yes, or nobody knows. */
  #hold: "none" | "held" | "unknown" = "none";
  /** Until when the service may still come to hold it, where nobody knows. */
  #until = "";
  #isTracked = false;
  #isKept = false;
  #hasEnded = false;

  constructor(subject: Subject, estimate: Estimate, outbox: Outbox, invalid: (requestId: string) => void) {
    this.tenant = subject.tenant;
    this.user = subject.user;
    this.reportType = subject.reportType;
    this.estimate = estimate;
    this.#outbox = outbox;
    this.#invalid = invalid;
  }

  /** The request is over: answered, failed or aborted. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The service has answered the check, or has not. */
  checked(hold: "none" | "held" | "unknown", approval?: Approval): void {
    this.#hold = hold;
    this.approval = approval;
    if (hold === "unknown") this.#until = new Date(Date.now() + CHECK_MOST_MS).toISOString();
    if (this.#hasEnded) this.#releaseUnused();
  }

  track(usage: Usage): boolean {
    if (this.#isTracked) return false;
    if (!isUsage(usage)) {
      // Something was used, nobody knows how much: the hold stays, and is charged in the end.
      this.#isKept = true;
      this.#invalid(this.requestId);
      return false;
    }
    if (isNothing(usage)) {
      this.#release();
      return true;
    }
    this.#isTracked = true;
    const model = usage.model ?? this.estimate.model;
    const isSame = model === this.estimate.model;
    const body = {
      request_id: isSame ? this.requestId : randomUUID(),
      tenant_id: this.tenant,
      model,
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
      ...extras(this, { ...usage, serviceTier: usage.serviceTier ?? this.estimate.serviceTier }),
    };
    if (isSame) {
      this.#hold = "none";
      this.#outbox.put({ kind: "track", body });
      return true;
    }
    // A reservation can't be settled for another model: the usage has an id of its own, and the hold goes back once the
    // usage is safe.
    this.#outbox.putThen({ kind: "track", body }, () => {
      this.#release();
    });
    return true;
  }

  release(): void {
    if (!this.#isTracked) this.#release();
  }

  keep(): void {
    this.#isKept = true;
  }

  /** Called at the end of the request, as often as there are signs of it. */
  end(): void {
    this.#hasEnded = true;
    this.#releaseUnused();
  }

  #releaseUnused(): void {
    if (!this.#isTracked && !this.#isKept) this.#release();
  }

  #release(): void {
    const item = { kind: "release", requestId: this.requestId } as const;
    if (this.#hold === "held") this.#outbox.put(item);
    if (this.#hold === "unknown") this.#outbox.putLater({ ...item, until: this.#until }, OVERTAKE_MS);
    this.#hold = "none";
  }
}

function isUsage(usage: unknown): usage is Usage {
  if (typeof usage !== "object" || usage === null) return false;
  const given = usage as Partial<Record<keyof Usage, unknown>>;
  const isCount = (value: unknown): boolean =>
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= TOKENS_MOST;
  const isOptional = (value: unknown): boolean => value === undefined || isCount(value);
  return (
    isCount(given.promptTokens) &&
    isCount(given.completionTokens) &&
    isOptional(given.cacheReadTokens) &&
    isOptional(given.cacheWrite5mTokens) &&
    isOptional(given.cacheWrite1hTokens) &&
    (given.model === undefined || isName(given.model, 200)) &&
    (given.serviceTier === undefined || isTier(given.serviceTier))
  );
}

function isNothing(usage: Usage): boolean {
  const { promptTokens, completionTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens } = usage;
  const counts = [promptTokens, completionTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens];
  return counts.every((count) => (count ?? 0) === 0);
}

/** Tenants, users, report types and models: neither spaces nor control characters. */
export function isName(value: unknown, most: number): value is string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return typeof value === "string" && value !== "" && value.length <= most && !/[\s\x00-\x1f\x7f-\x9f]/.test(value);
}

export function isTier(value: unknown): boolean {
  return value === "standard" || value === "batch" || value === "priority" || value === "flex";
}

/** The name of the first count that is none, as the service calls it. */
export function wrongCount(estimate: Estimate): string | undefined {
  const counts: readonly [string, unknown, boolean][] = [
    ["estimated_input_tokens", estimate.inputTokens, true],
    ["estimated_output_tokens", estimate.outputTokens, true],
    ["cache_read_tokens", estimate.cacheReadTokens, false],
    ["cache_write_5m_tokens", estimate.cacheWrite5mTokens, false],
    ["cache_write_1h_tokens", estimate.cacheWrite1hTokens, false],
  ];
  const wrong = counts.find(([, count, isRequired]) => {
    if (count === undefined) return isRequired;
    return !(typeof count === "number" && Number.isInteger(count) && count >= 0 && count <= TOKENS_MOST);
  });
  return wrong?.[0];
}
