/**
 * Fastify plugin that asks Bursar before a request may spend money on AI, and reports what it has used.
 *
 * Owns what happens around a request. Knows nothing of budgets: whether a request fits is the service's decision.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions as Route } from "fastify";
import fp from "fastify-plugin";

import { badRequest, forbidden, refused, unavailable, warn } from "./answer.js";
import { Call, isName, isTier, wrongCount } from "./call.js";
import type { AiBudgetCall } from "./call.js";
import { Client, checkBody } from "./client.js";
import type { CheckAnswer, Failure, Subject } from "./client.js";
import { within } from "./deadline.js";
import { SparseLog } from "./log.js";
import { resolveOptions, resolveRoute } from "./options.js";
import type { AiBudgetOptions, Resolver, RouteOptions, RouteSettings, Settings } from "./options.js";
import { Outbox } from "./outbox.js";
import { SharedCache, openRedis } from "./redis.js";
import { newStats } from "./stats.js";
import type { Stats } from "./stats.js";
import { VerdictCache } from "./verdict.js";

export { defaultEstimate } from "./estimate.js";
export type { AiBudgetCall } from "./call.js";
export type { Approval, Standing } from "./client.js";
export type {
  AiBudgetOptions,
  Estimate,
  EstimateDefaults,
  Estimator,
  FailMode,
  Resolver,
  RouteOptions,
  ServiceTier,
  Usage,
} from "./options.js";
export type { RedisLike } from "./redis.js";
export type { Stats } from "./stats.js";

/** What an application finds at `fastify.aiBudget`. */
export interface AiBudget {
  /** What has happened so far; a copy. */
  stats(): Stats;
  /** Waits until no usage is left in memory: delivered, or in the spool. */
  flush(): Promise<void>;
}

declare module "fastify" {
  interface FastifyInstance {
    aiBudget: AiBudget;
  }
  interface FastifyRequest {
    /** The checked call; null on routes that are not checked. */
    aiBudget: AiBudgetCall | null;
  }
  interface FastifyContextConfig {
    /** Checks the route, with settings of its own; false leaves it out. */
    aiBudget?: boolean | RouteOptions;
  }
}

/** In the config of routes whose handler tells when it starts. */
const WATCHED = Symbol("@bursar/fastify watched");

/** Everything that lives as long as the plugin. */
class Guard {
  readonly #settings: Settings;
  readonly #client: Client;
  readonly #outbox: Outbox;
  readonly #cache: VerdictCache;
  readonly #stats: Stats;
  readonly #log: SparseLog;
  readonly #calls = new WeakMap<FastifyRequest, Call>();
  readonly #routes = new WeakMap<RouteOptions, RouteSettings>();

  constructor(
    settings: Settings,
    client: Client,
    outbox: Outbox,
    cache: VerdictCache,
    stats: Stats,
    log: SparseLog,
  ) {
    this.#settings = settings;
    this.#client = client;
    this.#outbox = outbox;
    this.#cache = cache;
    this.#stats = stats;
    this.#log = log;
  }

  /** The settings of a route's `config.aiBudget`; nothing where the route is not checked. */
  route(config: boolean | RouteOptions | undefined): RouteSettings | undefined {
    const base = this.#settings.route;
    if (config === undefined) return this.#settings.scope ? base : undefined;
    if (typeof config === "boolean") return config ? base : undefined;
    const known = this.#routes.get(config) ?? resolveRoute(config, base);
    this.#routes.set(config, known);
    return known;
  }

  /** Lets a route that is checked tell when its handler starts: hooks after the check may still end a request. */
  watch(route: Route): void {
    if (this.route(route.config?.aiBudget) === undefined) return;
    const { handler } = route;
    const calls = this.#calls;
    route.handler = function (request, reply) {
      calls.get(request)?.keep();
      return handler.call(this, request, reply);
    };
    route.config = Object.assign({}, route.config, { [WATCHED]: true });
  }

  /** Lets the request through, or answers it. */
  async before(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    if (request.is404) return undefined;
    const route = this.route(request.routeOptions.config.aiBudget);
    if (route === undefined) return undefined;
    const call = await this.#callOf(request, reply, route);
    if (call === null) return reply;
    this.#calls.set(request, call);
    // Fires for answers that were sent and for connections that were lost, whatever the handler does.
    reply.raw.once("close", () => {
      call.end();
    });
    if (reply.raw.destroyed) call.end();

    const subject: Subject = call;
    const cached = await this.#cache.find(subject, call.estimate);
    if (cached !== undefined) {
      this.#stats.refused += 1;
      this.#stats.servedFromCache += 1;
      warn(reply, cached, this.#settings.warningPercent);
      return refused(reply, cached, this.#settings.fallback);
    }
    const body = checkBody(call.requestId, subject, call.estimate);
    const answer = await within(this.#settings.checkTimeoutMs, undefined, async (signal) =>
      this.#client.check(body, signal),
    );
    return this.#decide(request, reply, call, answer, route);
  }

  /** The request is over. */
  after(request: FastifyRequest): void {
    this.#calls.get(request)?.end();
  }

  #decide(
    request: FastifyRequest,
    reply: FastifyReply,
    call: Call,
    answer: CheckAnswer,
    route: RouteSettings,
  ): FastifyReply | undefined {
    switch (answer.kind) {
      case "approved":
        this.#stats.checked += 1;
        call.checked("held", answer.approval);
        warn(reply, answer.approval, this.#settings.warningPercent);
        break;
      case "refused":
        this.#stats.checked += 1;
        this.#stats.refused += 1;
        call.checked(answer.mayHold ? "unknown" : "none");
        this.#cache.put(call, call.estimate, answer.refusal);
        warn(reply, answer.refusal, this.#settings.warningPercent);
        return refused(reply, answer.refusal, this.#settings.fallback);
      case "invalid":
        this.#stats.checked += 1;
        if (answer.isForbidden) return forbidden(reply, answer.code, answer.message);
        return badRequest(reply, answer.code, answer.message, answer.field);
      case "failure": {
        const isClosed = this.#fail(answer, route);
        // What was held in spite of the missing answer goes back, unless the handler starts.
        call.checked(answer.mayHold ? "unknown" : "none");
        if (isClosed) return unavailable(reply, Math.max(answer.retryAfterSeconds ?? 1, 1));
        break;
      }
    }
    if (call.hasEnded) {
      // The caller has gone: calling a model would be for nobody.
      reply.hijack();
      return reply;
    }
    request.aiBudget = call;
    // A route that was added before the plugin does not tell when its handler starts: as good as now.
    if (!(WATCHED in request.routeOptions.config)) call.keep();
    return undefined;
  }

  /** Counts and logs, and says whether the request ends here. */
  #fail(failure: Failure, route: RouteSettings): boolean {
    const { reason, detail } = failure;
    const isClosed = route.failMode === "closed";
    if (isClosed) this.#stats.failedClosed += 1;
    else this.#stats.failedOpen += 1;
    const level = reason === "access" || reason === "unexpected" ? "error" : "warn";
    const what = isClosed ? "requests are refused" : "requests are let through";
    this.#log.say(level, `check ${reason}`, `the budget can't be checked; ${what}`, { reason, detail });
    return isClosed;
  }

  /** Who calls and what for; answers 400 where that can't be told. */
  async #callOf(request: FastifyRequest, reply: FastifyReply, route: RouteSettings): Promise<Call | null> {
    const wrong = (code: string, message: string, field?: string): null => {
      void badRequest(reply, code, message, field);
      return null;
    };
    const tenant = await valueOf(request, route.tenant);
    if (tenant === undefined) {
      const header = typeof route.tenant === "string" ? route.tenant : undefined;
      const hint = header === undefined ? "the request names no tenant" : `send the tenant in the header ${header}`;
      return wrong("tenant_missing", hint, header ?? "tenant_id");
    }
    const user = await valueOf(request, route.user);
    const reportType = await valueOf(request, route.reportType);
    for (const [field, value, most] of [
      ["tenant_id", tenant, 128],
      ["user_id", user, 128],
      ["report_type", reportType, 64],
    ] as const) {
      if (value !== undefined && !isName(value, most)) {
        return wrong("invalid_field", `${field} must be 1 to ${most} characters without spaces`, field);
      }
    }
    const estimate = await route.estimate(request, route.defaults);
    if (estimate === undefined) return wrong("model_missing", "the request names no model", "model");
    if (!isName(estimate.model, 200)) {
      return wrong("invalid_field", "model must be 1 to 200 characters without spaces", "model");
    }
    const count = wrongCount(estimate);
    if (count !== undefined) {
      return wrong("invalid_field", `${count} must be a whole number from 0 to 1000000000`, count);
    }
    if (estimate.serviceTier !== undefined && !isTier(estimate.serviceTier)) {
      return wrong("invalid_field", "service_tier must be standard, batch, priority or flex", "service_tier");
    }
    return new Call({ tenant, user, reportType }, estimate, this.#outbox, (requestId) => {
      this.#stats.invalid += 1;
      this.#log.say("error", "usage", "a handler has reported usage that can't be right", { requestId });
    });
  }
}

async function valueOf(request: FastifyRequest, resolver: Resolver): Promise<string | undefined> {
  const value = typeof resolver === "function" ? await resolver(request) : request.headers[resolver];
  const text = Array.isArray(value) ? value.join(",") : value;
  return text === undefined || text === null || text === "" ? undefined : text;
}

async function register(fastify: FastifyInstance, options: AiBudgetOptions): Promise<void> {
  const settings = resolveOptions(options);
  const stats = newStats();
  const log = new SparseLog(fastify.log, settings.logIntervalMs);
  const client = new Client(settings.baseUrl, settings.token);
  const outbox = await Outbox.open(client, settings, stats, log);
  const shared = await sharedCache(settings, stats, log);
  const cache = new VerdictCache(settings.baseUrl, settings.cacheEntries, settings.cacheTtlMs, shared);
  const guard = new Guard(settings, client, outbox, cache, stats, log);

  fastify.decorate("aiBudget", {
    stats: () => ({ ...stats, queued: outbox.queued, spoolBytes: outbox.spoolBytes }),
    flush: async () => outbox.flush(),
  });
  fastify.decorateRequest("aiBudget", null);
  // A mistake in a route's settings is told at the start, not at its first request.
  fastify.addHook("onRoute", (route) => {
    guard.watch(route);
  });
  fastify.addHook("preHandler", async (request, reply) => guard.before(request, reply));
  fastify.addHook("onResponse", async (request) => {
    guard.after(request);
    return Promise.resolve();
  });
  fastify.addHook("onRequestAbort", async (request) => {
    guard.after(request);
    return Promise.resolve();
  });
  fastify.addHook("onClose", async () => {
    await outbox.close(settings.closeTimeoutMs);
    await cache.close();
  });
}

async function sharedCache(settings: Settings, stats: Stats, log: SparseLog): Promise<SharedCache | undefined> {
  const { redis, redisTimeoutMs } = settings;
  if (redis === undefined || settings.cacheTtlMs === 0) return undefined;
  if (typeof redis === "string") return openRedis(redis, stats, log, redisTimeoutMs);
  // The application's own connection stays open.
  return new SharedCache(redis, redisTimeoutMs, stats, log, () => undefined);
}

/** The plugin; register it in the scope whose routes it is to guard. */
export const bursar = fp(register, { name: "@bursar/fastify", fastify: "5.x" });
export default bursar;
