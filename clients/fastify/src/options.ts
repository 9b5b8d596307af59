/** What can be set, and what holds when it is not. */

import type { FastifyRequest } from "fastify";

import { defaultEstimate } from "./estimate.js";
import type { RedisLike } from "./redis.js";

/** What a request is expected to use at most. */
export interface Estimate {
  /** The model as its vendor names it, or an alias. */
  readonly model: string;
  /** Prompt tokens, those of a cache apart. */
  readonly inputTokens: number;
  /** Completion tokens at most. */
  readonly outputTokens: number;
  /** Prompt tokens read from a cache. */
  readonly cacheReadTokens?: number | undefined;
  /** Prompt tokens written to a five-minute cache. */
  readonly cacheWrite5mTokens?: number | undefined;
  /** Prompt tokens written to a one-hour cache. */
  readonly cacheWrite1hTokens?: number | undefined;
  /** The vendor's service tier. */
  readonly serviceTier?: ServiceTier | undefined;
}

/** What a request has used. */
export interface Usage {
  /** Prompt tokens, those of a cache apart. */
  readonly promptTokens: number;
  /** Completion tokens. */
  readonly completionTokens: number;
  /** The model, where another one was called than was checked. */
  readonly model?: string | undefined;
  /** Prompt tokens read from a cache. */
  readonly cacheReadTokens?: number | undefined;
  /** Prompt tokens written to a five-minute cache. */
  readonly cacheWrite5mTokens?: number | undefined;
  /** Prompt tokens written to a one-hour cache. */
  readonly cacheWrite1hTokens?: number | undefined;
  /** The vendor's service tier; that of the estimate when left out. */
  readonly serviceTier?: ServiceTier | undefined;
}

export type ServiceTier = "standard" | "batch" | "priority" | "flex";
export type FailMode = "open" | "closed";

/** A header's name, or a function that finds the value. */
export type Resolver =
  | string
  | ((request: FastifyRequest) => string | undefined | null | Promise<string | undefined | null>);

/** What a request is expected to use; nothing where no model is named. */
export type Estimator = (
  request: FastifyRequest,
  defaults: EstimateDefaults,
) => Estimate | undefined | Promise<Estimate | undefined>;

export interface EstimateDefaults {
  /** The model of a request that names none. */
  readonly model: string | undefined;
  /** Completion tokens of a request that bounds them itself nowhere. */
  readonly outputTokens: number;
}

/** What a route may set for itself, in `config: { aiBudget: … }`. */
export interface RouteOptions {
  /** The model of a request that names none. */
  model?: string;
  /** Completion tokens of a request that bounds them itself nowhere. Default 4096. */
  outputTokens?: number;
  /** What a request is expected to use. Default: read from the body, see `defaultEstimate`. */
  estimate?: Estimator;
  /** Who pays. Default: the header `x-tenant-id`. */
  tenant?: Resolver;
  /** Who within the tenant. Default: the header `x-user-id`. */
  user?: Resolver;
  /** What for. Default: the header `x-report-type`. */
  reportType?: Resolver;
  /** What to do when the service does not answer. Default "open". */
  failMode?: FailMode;
}

export interface AiBudgetOptions extends RouteOptions {
  /** Where the service is, such as `http://bursar.finops:3010`. Required. */
  baseUrl: string;
  /** The admin token or a tenant's key, or a function that returns it. */
  token?: string | (() => string | Promise<string>);
  /** Which routes: those with `config.aiBudget` ("route", the default), or all of the scope ("scope"). */
  enable?: "route" | "scope";
  /** Shares refusals between processes: an ioredis instance, or a URL (ioredis has to be installed). */
  redis?: RedisLike | string;
  /** How long Redis may take. Default 50 ms. */
  redisTimeoutMs?: number;
  /** How long a refusal is served from the cache at most. Default 60,000 ms; 0 turns the cache off. */
  cacheTtlMs?: number;
  /** Refusals kept in this process. Default 10,000. */
  cacheEntries?: number;
  /** How long a check may take. Default 1,000 ms. */
  checkTimeoutMs?: number;
  /** How long reporting usage may take, each time. Default 5,000 ms. */
  trackTimeoutMs?: number;
  /** From which percentage on the warning headers are sent. Default 80. */
  warningPercent?: number;
  /** What a refused caller is told to do. */
  suggestion?: string;
  /** Whom a refused caller may ask. */
  contact?: string;
  /** Records of usage kept in memory. Default 10,000. */
  queueSize?: number;
  /** Records delivered at the same time. Default 4. */
  queueConcurrency?: number;
  /** A file for usage that can't be delivered. Without one it stays in memory and dies with the process. */
  spoolPath?: string;
  /** How large the spool may become. Default 64 MiB. */
  spoolBytes?: number;
  /** How often the spool is tried again. Default 5,000 ms. */
  spoolIntervalMs?: number;
  /** How often a record is tried before it is spooled. Default 5. */
  retryAttempts?: number;
  /** The first pause between two attempts, doubled each time, with jitter. Default 100 ms. */
  retryBaseMs?: number;
  /** The longest pause. Default 5,000 ms. */
  retryMaxMs?: number;
  /** How long `close` waits for usage to be delivered. Default 5,000 ms. */
  closeTimeoutMs?: number;
  /** How often the same fault is logged at most. Default 30,000 ms. */
  logIntervalMs?: number;
}

/** All of it, with the defaults put in. */
export interface Settings {
  readonly baseUrl: string;
  readonly token: (() => string | Promise<string>) | undefined;
  readonly scope: boolean;
  readonly redis: RedisLike | string | undefined;
  readonly redisTimeoutMs: number;
  readonly cacheTtlMs: number;
  readonly cacheEntries: number;
  readonly checkTimeoutMs: number;
  readonly trackTimeoutMs: number;
  readonly warningPercent: number;
  readonly fallback: { readonly suggestion: string; readonly contact: string };
  readonly queueSize: number;
  readonly queueConcurrency: number;
  readonly spoolPath: string | undefined;
  readonly spoolBytes: number;
  readonly spoolIntervalMs: number;
  readonly retryAttempts: number;
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  readonly closeTimeoutMs: number;
  readonly logIntervalMs: number;
  readonly route: RouteSettings;
}

export interface RouteSettings {
  readonly defaults: EstimateDefaults;
  readonly estimate: Estimator;
  readonly tenant: Resolver;
  readonly user: Resolver;
  readonly reportType: Resolver;
  readonly failMode: FailMode;
}

const SUGGESTION = "Send a smaller request, use a cheaper model, or wait until the budget starts afresh.";
const CONTACT = "Ask your administrator to raise the AI budget.";
const DAY_MS = 86_400_000;

/** Puts the defaults in; throws a `TypeError` that names the option which is wrong. */
export function resolveOptions(options: AiBudgetOptions): Settings {
  const number = (name: keyof AiBudgetOptions, fallback: number, least: number, most: number): number =>
    checkNumber(name, options[name] ?? fallback, least, most);
  const text = (name: "suggestion" | "contact", fallback: string): string => {
    const value: unknown = options[name] ?? fallback;
    if (typeof value !== "string" || value.length > 2000) fail(name, "must be a string of at most 2000 characters");
    return value;
  };
  const spoolPath: unknown = options.spoolPath;
  if (spoolPath !== undefined && (typeof spoolPath !== "string" || spoolPath === "")) {
    fail("spoolPath", "must be a path");
  }
  return {
    baseUrl: checkUrl(options.baseUrl),
    token: checkToken(options.token),
    scope: oneOf("enable", options.enable ?? "route", ["route", "scope"]) === "scope",
    redis: options.redis,
    redisTimeoutMs: number("redisTimeoutMs", 50, 1, 10_000),
    cacheTtlMs: number("cacheTtlMs", 60_000, 0, DAY_MS),
    cacheEntries: number("cacheEntries", 10_000, 1, 1_000_000),
    checkTimeoutMs: number("checkTimeoutMs", 1000, 1, 60_000),
    trackTimeoutMs: number("trackTimeoutMs", 5000, 1, 60_000),
    warningPercent: number("warningPercent", 80, 0, 1000),
    fallback: { suggestion: text("suggestion", SUGGESTION), contact: text("contact", CONTACT) },
    queueSize: number("queueSize", 10_000, 1, 1_000_000),
    queueConcurrency: number("queueConcurrency", 4, 1, 64),
    spoolPath,
    spoolBytes: number("spoolBytes", 64 * 1024 * 1024, 4096, 16 * 1024 * 1024 * 1024),
    spoolIntervalMs: number("spoolIntervalMs", 5000, 10, 3_600_000),
    retryAttempts: number("retryAttempts", 5, 1, 100),
    retryBaseMs: number("retryBaseMs", 100, 1, 60_000),
    retryMaxMs: number("retryMaxMs", 5000, 1, 600_000),
    closeTimeoutMs: number("closeTimeoutMs", 5000, 0, 600_000),
    logIntervalMs: number("logIntervalMs", 30_000, 0, DAY_MS),
    route: resolveRoute(options, undefined),
  };
}

/** A route's own settings over those of the plugin. */
export function resolveRoute(options: RouteOptions, base: RouteSettings | undefined): RouteSettings {
  const { model, outputTokens, estimate, tenant, user, reportType, failMode } = options;
  const resolver = (name: string, value: Resolver): Resolver => {
    if (typeof value === "function") return value;
    if (typeof value === "string" && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value)) return value.toLowerCase();
    return fail(name, "must be the name of a header or a function");
  };
  if (model !== undefined && typeof model !== "string") fail("model", "must be a string");
  if (estimate !== undefined && typeof estimate !== "function") fail("estimate", "must be a function");
  return {
    defaults: {
      model: model ?? base?.defaults.model,
      outputTokens: checkNumber("outputTokens", outputTokens ?? base?.defaults.outputTokens ?? 4096, 0, 1_000_000_000),
    },
    estimate: estimate ?? base?.estimate ?? defaultEstimate,
    tenant: resolver("tenant", tenant ?? base?.tenant ?? "x-tenant-id"),
    user: resolver("user", user ?? base?.user ?? "x-user-id"),
    reportType: resolver("reportType", reportType ?? base?.reportType ?? "x-report-type"),
    failMode: oneOf("failMode", failMode ?? base?.failMode ?? "open", ["open", "closed"]),
  };
}

function fail(name: string, message: string): never {
  throw new TypeError(`@bursar/fastify: option ${name} ${message}`);
}

function checkNumber(name: string, value: unknown, least: number, most: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  return fail(name, `must be a whole number from ${least} to ${most}`);
}

function oneOf<T extends string>(name: string, value: T, words: readonly T[]): T {
  return words.includes(value) ? value : fail(name, `must be ${words.map((word) => `"${word}"`).join(" or ")}`);
}

function checkUrl(value: unknown): string {
  let url: URL;
  try {
    url = new URL(String(value));
  } catch {
    return fail("baseUrl", "must be a URL");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") fail("baseUrl", "must begin with http:// or https://");
  if (url.username !== "" || url.password !== "") fail("baseUrl", "must not hold a password; use token");
  if (url.search !== "" || url.hash !== "") fail("baseUrl", "must have neither a query nor a fragment");
  return url.href.replace(/\/+$/, "");
}

function checkToken(token: unknown): (() => string | Promise<string>) | undefined {
  if (token === undefined) return undefined;
  if (typeof token === "function") return token as () => string | Promise<string>;
  if (isToken(token)) return () => token;
  return fail("token", "must be visible ASCII characters without spaces, or a function");
}

/** What may stand in a header. Anything else would turn up in the error that refuses it. */
export function isToken(token: unknown): token is string {
  return typeof token === "string" && /^[\x21-\x7e]{1,4096}$/.test(token);
}
