/**
 * Speaks with the service over HTTP. Knows the wire and what its answers mean; decides nothing about requests.
 * Neither tokens nor addresses ever appear in its errors.
 */

import { type Parsed, isNumberText, isObject, parseObject, stringOf } from "./json.js";
import { isToken } from "./options.js";
import type { Estimate } from "./options.js";

/** Answers are short; what is longer comes from something else. */
const BODY_MOST = 64 * 1024;

/** Nobody listens, so nothing was done. */
const REFUSED = "ECONNREFUSED";

/** The tenant that a request names is not the key's. */
const OTHER_TENANT = "other_tenant";

/** Whom a call is for. */
export interface Subject {
  readonly tenant: string;
  readonly user: string | undefined;
  readonly reportType: string | undefined;
}

/** How a budget stands, in the digits that the service sent. */
export interface Standing {
  readonly currentUsageUsd: string;
  readonly monthlyLimitUsd: string;
  readonly percentageUsed: string;
}

/** No: what the caller may read, and until when it is so. */
export interface Refusal extends Standing {
  readonly message: string;
  readonly retryAfterSeconds: number;
  /** When the budget starts afresh, in milliseconds since 1970. */
  readonly resetsAt: number | undefined;
}

/** Yes, and what is held. */
export interface Approval extends Standing {
  readonly heldUsd: string | undefined;
  readonly expiresAt: string | undefined;
  readonly wouldRefuse: boolean;
}

/** No answer that says yes or no. */
export interface Failure {
  readonly kind: "failure";
  /** `access`: the token is wrong. `unexpected`: this is not how the service answers. */
  readonly reason: "timeout" | "network" | "access" | "overloaded" | "unexpected";
  /** The service may have done what it was asked for all the same. */
  readonly mayHold: boolean;
  /** For the log: a status or an error's code. */
  readonly detail: string;
  readonly retryAfterSeconds: number | undefined;
}

/** The request itself is wrong, or names a tenant that the token does not speak for: wrong at every try. */
export interface Invalid {
  readonly kind: "invalid";
  readonly isForbidden: boolean;
  readonly code: string;
  readonly message: string;
  readonly field: string | undefined;
}

export type CheckAnswer =
  | { readonly kind: "approved"; readonly approval: Approval }
  /** `mayHold`: an earlier try was not answered, and may hold money all the same. */
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly mayHold: boolean }
  | Invalid
  | Failure;

/** What became of a record: done, never to be done, or to be tried again: at once, or not before a while. */
export type DeliveryAnswer = { readonly kind: "done" } | { readonly kind: "early" } | Invalid | Failure;

/** The body of a check. */
export interface CheckBody {
  readonly request_id: string;
  readonly tenant_id: string;
  readonly model: string;
  readonly estimated_input_tokens: number;
  readonly estimated_output_tokens: number;
}

/** The body of a track; more members may be there. */
export interface TrackBody {
  readonly request_id: string;
  readonly tenant_id: string;
  readonly model: string;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

/** A record of the outbox. */
export type Item =
  | { readonly kind: "track"; readonly body: TrackBody }
  /** `until`: the check had no answer, and the hold may come into being until then. */
  | { readonly kind: "release"; readonly requestId: string; readonly until?: string };

export function checkBody(requestId: string, subject: Subject, estimate: Estimate): CheckBody {
  return {
    request_id: requestId,
    tenant_id: subject.tenant,
    model: estimate.model,
    estimated_input_tokens: estimate.inputTokens,
    estimated_output_tokens: estimate.outputTokens,
    ...extras(subject, estimate),
  };
}

/** What checks and tracks have in common beyond the bare call; absent members are left out. */
export function extras(subject: Subject, tokens: Omit<Estimate, "model" | "inputTokens" | "outputTokens">): object {
  const all = {
    user_id: subject.user,
    report_type: subject.reportType,
    cache_read_tokens: tokens.cacheReadTokens,
    cache_write_5m_tokens: tokens.cacheWrite5mTokens,
    cache_write_1h_tokens: tokens.cacheWrite1hTokens,
    service_tier: tokens.serviceTier,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

interface Answer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly body: Parsed | undefined;
}

export class Client {
  readonly #baseUrl: string;
  readonly #token: (() => string | Promise<string>) | undefined;

  constructor(baseUrl: string, token: (() => string | Promise<string>) | undefined) {
    this.#baseUrl = baseUrl;
    this.#token = token;
  }

  /** Asks whether a request may be made; its money is held when it may. */
  async check(body: CheckBody, signal: AbortSignal): Promise<CheckAnswer> {
    const path = "/api/ai-budget/check";
    const first = await this.#post(path, body, signal);
    const isBroken = "kind" in first && first.reason === "network" && first.detail !== REFUSED;
    if (!isBroken || signal.aborted) return checkAnswer(first);
    // A connection that was kept open may have been closed meanwhile; the request id makes a second try safe.
    const second = checkAnswer(await this.#post(path, body, signal));
    // Whatever it says, the first may have been carried out.
    return second.kind === "failure" || second.kind === "refused" ? { ...second, mayHold: true } : second;
  }

  /** Delivers a record. Every record may be delivered again: the service does it once. */
  async deliver(item: Item, signal: AbortSignal): Promise<DeliveryAnswer> {
    if (item.kind === "track") {
      const answer = await this.#post("/api/ai-budget/track", item.body, signal);
      if ("kind" in answer) return answer;
      if (answer.status === 200 && answer.body?.value["success"] === true) return { kind: "done" };
      if (answer.status === 409) return invalidOf(answer);
      return failureOrInvalid(answer);
    }
    const answer = await this.#post(`/api/v1/reservations/${item.requestId}/release`, undefined, signal);
    if ("kind" in answer) return answer;
    // Nothing was held, or it has been charged meanwhile: nothing is left to release.
    const code = answer.body && stringOf(answer.body.value, "code");
    const isUnknown = answer.status === 404 && code === "not_found";
    if (isUnknown && item.until !== undefined && Date.now() < Date.parse(item.until)) return { kind: "early" };
    return answer.status === 200 || isUnknown || answer.status === 409 ? { kind: "done" } : failureOrInvalid(answer);
  }

  async #post(path: string, body: object | undefined, signal: AbortSignal): Promise<Answer | Failure> {
    let headers: Record<string, string>;
    try {
      headers = await abortable(this.#headers(body !== undefined), signal);
    } catch {
      // What a function of the application throws may hold secrets.
      return failure("access", signal.aborted ? "no token in time" : "no usable token", false);
    }
    try {
      const response = await fetch(this.#baseUrl + path, {
        method: "POST",
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        // The token is for this service alone.
        redirect: "error",
        signal,
      });
      const text = await limitedText(response);
      return { status: response.status, retryAfterSeconds: retryAfter(response), body: parseObject(text) };
    } catch (error) {
      if (signal.aborted) return failure("timeout", "timeout", true);
      const code = errorCode(error);
      return failure("network", code, code !== REFUSED);
    }
  }

  async #headers(hasBody: boolean): Promise<Record<string, string>> {
    const headers: Record<string, string> = hasBody ? { "content-type": "application/json" } : {};
    if (this.#token === undefined) return headers;
    const token: unknown = await this.#token();
    if (!isToken(token)) throw new TypeError("not a token");
    return { ...headers, authorization: `Bearer ${token}` };
  }
}

function checkAnswer(answer: Answer | Failure): CheckAnswer {
  if ("kind" in answer) return answer;
  if (answer.status === 200) {
    const approval = approvalOf(answer.body);
    return approval === undefined ? unexpected(answer) : { kind: "approved", approval };
  }
  const code = answer.body && stringOf(answer.body.value, "code");
  if (answer.status === 429 && (code === "budget_exceeded" || code === "no_budget")) {
    const refusal = refusalOf(answer);
    return refusal === undefined ? unexpected(answer) : { kind: "refused", refusal, mayHold: false };
  }
  return failureOrInvalid(answer);
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      reject(new Error("aborted"));
    };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", abort);
    });
  });
}

async function limitedText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    // Leaving the loop cancels the rest.
    if (size > BODY_MOST) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** A code such as ECONNREFUSED: an error's message might quote what was sent. */
function errorCode(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = isObject(cause) ? cause["code"] : undefined;
  return typeof code === "string" ? code.slice(0, 64) : "no connection";
}

function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function failure(reason: Failure["reason"], detail: string, mayHold: boolean, retryAfterSeconds?: number): Failure {
  return { kind: "failure", reason, detail, mayHold, retryAfterSeconds };
}

function unexpected(answer: Answer): Failure {
  return failure("unexpected", `status ${answer.status} with an unknown body`, true);
}

function failureOrInvalid(answer: Answer): Invalid | Failure {
  const { status, retryAfterSeconds } = answer;
  const detail = `status ${status}`;
  if (status === 422 && answer.body !== undefined) return invalidOf(answer);
  // The token is good, only not for this tenant.
  if (status === 403 && stringOf(answer.body?.value ?? {}, "code") === OTHER_TENANT) return invalidOf(answer);
  if (status === 401 || status === 403) return failure("access", detail, false);
  if (status === 429 || status >= 500) return failure("overloaded", detail, status !== 429, retryAfterSeconds);
  return failure("unexpected", detail, false, retryAfterSeconds);
}

function invalidOf(answer: Answer): Invalid {
  const body = answer.body?.value ?? {};
  return {
    kind: "invalid",
    isForbidden: answer.status === 403,
    code: stringOf(body, "code", 64) ?? "invalid_request",
    message: stringOf(body, "message") ?? "the budget service does not accept this request",
    field: stringOf(body, "field", 128),
  };
}

function standingOf(body: Parsed): Standing | undefined {
  const [currentUsageUsd, monthlyLimitUsd, percentageUsed] = [
    body.numbers.get("current_usage_usd"),
    body.numbers.get("monthly_limit_usd"),
    body.numbers.get("percentage_used"),
  ];
  if (!isNumberText(currentUsageUsd) || !isNumberText(monthlyLimitUsd) || !isNumberText(percentageUsed)) {
    return undefined;
  }
  return { currentUsageUsd, monthlyLimitUsd, percentageUsed };
}

function approvalOf(body: Parsed | undefined): Approval | undefined {
  const standing = body && standingOf(body);
  if (standing === undefined || body?.value["allowed"] !== true) return undefined;
  return {
    ...standing,
    heldUsd: body.numbers.get("held_usd"),
    expiresAt: stringOf(body.value, "expires_at", 64),
    wouldRefuse: body.value["would_refuse"] === true,
  };
}

function refusalOf(answer: Answer): Refusal | undefined {
  const standing = answer.body && standingOf(answer.body);
  if (standing === undefined) return undefined;
  const value = answer.body?.value ?? {};
  const resetsAt = Date.parse(stringOf(value, "resets_at", 64) ?? "");
  return {
    ...standing,
    message: stringOf(value, "message") ?? "the AI budget does not cover this request",
    retryAfterSeconds: Math.max(answer.retryAfterSeconds ?? 1, 1),
    resetsAt: Number.isNaN(resetsAt) ? undefined : resetsAt,
  };
}
