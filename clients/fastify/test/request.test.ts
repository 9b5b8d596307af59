/** What a request meets: checks, answers, headers. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import Fastify from "fastify";

import bursar, { type AiBudgetCall, type AiBudgetOptions } from "../src/index.js";
import { ESTIMATE, MODEL, Proxy, Service, TOKEN, app, newTenant, post, usage } from "./harness.js";

let service: Service;
before(async () => {
  service = await Service.start();
});
after(async () => {
  await service.remove();
});

describe("a request that fits", () => {
  it("is let through, and what it used is in the ledger with its exact cost", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url });
    const answer = await post(fastify, tenant, {}, { "x-user-id": "ann", "x-report-type": "summary" });
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.headers["x-ai-budget-warning"], undefined);
    await fastify.aiBudget.flush();
    const { id } = answer.json<{ id: string }>();
    const reservation = await service.reservation(id);
    assert.equal(reservation["state"], "settled");
    assert.equal(reservation["cost_usd"], 0.0093);
    assert.equal(reservation["held_usd"], 0.0105);
    assert.equal(reservation["user_id"], "ann");
    assert.equal(reservation["report_type"], "summary");
    assert.equal((await service.budget(tenant))["current_usage_usd"], 0.0093);
    assert.equal((await service.ledger(tenant)).filter((entry) => entry["request_id"] === id).length, 2);
    const { checked, tracked, refused } = fastify.aiBudget.stats();
    assert.deepEqual({ checked, tracked, refused }, { checked: 1, tracked: 1, refused: 0 });
    await fastify.close();
  });

  it("tells the handler how the budget stands, in exact digits", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.021);
    let seen: AiBudgetCall | null = null;
    const fastify = await app({ baseUrl: service.url }, (request) => {
      seen = request.aiBudget;
      return {};
    });
    await post(fastify, tenant);
    const call = seen as AiBudgetCall | null;
    assert.equal(call?.tenant, tenant);
    assert.deepEqual(call.estimate, ESTIMATE);
    assert.equal(call.approval?.heldUsd, "0.0105");
    assert.equal(call.approval.monthlyLimitUsd, "0.021");
    assert.equal(call.approval.percentageUsed, "50");
    await fastify.close();
  });

  it("gets the warning headers from 80 % on", async () => {
    for (const [limit, percent] of [[0.013125, "80"], [0.0131, "80.15"], [0.01313, undefined]] as const) {
      const tenant = newTenant();
      await service.setBudget(tenant, limit);
      const fastify = await app({ baseUrl: service.url });
      const answer = await post(fastify, tenant);
      assert.equal(answer.statusCode, 200);
      assert.equal(answer.headers["x-ai-budget-warning"], percent === undefined ? undefined : "true");
      assert.equal(answer.headers["x-ai-budget-usage"], percent);
      await fastify.close();
    }
  });

  it("may have used another model, at that model's price", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url }, (request) =>
      request.aiBudget?.track({ ...usage, model: "claude-3-haiku-20240307" }),
    );
    await post(fastify, tenant);
    await fastify.aiBudget.flush();
    const budget = await service.budget(tenant);
    assert.equal(budget["held_usd"], 0);
    assert.equal(budget["current_usage_usd"], 0.000775);
    await fastify.close();
  });

  it("keeps its hold until the use of another model is safe", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    let failures = 2;
    proxy.answer = (path) =>
      path.endsWith("/track") && (failures -= 1) >= 0 ? { status: 503, body: "{}" } : undefined;
    const fastify = await app({ baseUrl: proxy.url, retryAttempts: 5 }, (request) =>
      request.aiBudget?.track({ ...usage, model: "claude-3-haiku-20240307" }),
    );
    await post(fastify, tenant);
    await fastify.aiBudget.flush();
    const asked = proxy.seen.map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
    assert.deepEqual(asked, ["check", "track", "track", "track", "release"]);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
    await fastify.close();
    await proxy.stop();
  });
});

describe("a request that does not fit", () => {
  it("is answered 429 with exactly the agreed body", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.01);
    const fastify = await app({ baseUrl: service.url, suggestion: "Use haiku.", contact: "finops@example.com" });
    const answer = await post(fastify, tenant);
    assert.equal(answer.statusCode, 429);
    const body = answer.json<{ message: string }>();
    assert.match(body.message, /105 % of its 0\.01 USD/);
    assert.deepEqual(body, {
      error: "AI Budget Exceeded",
      message: body.message,
      current_usage_usd: 0,
      monthly_limit_usd: 0.01,
      percentage_used: 105,
      fallback: { suggestion: "Use haiku.", contact: "finops@example.com" },
    });
    assert.ok(Number(answer.headers["retry-after"]) > 1);
    assert.equal(answer.headers["x-should-retry"], "false");
    assert.equal(answer.headers["x-ai-budget-usage"], "105");
    assert.match(String(answer.headers["content-type"]), /^application\/json/);
    await fastify.close();
  });

  it("keeps every digit of the service's numbers", async () => {
    const proxy = await Proxy.start(service.url);
    proxy.answer = () => ({
      status: 429,
      headers: { "retry-after": "7" },
      body:
        '{"error":"Budget exceeded","message":"x","code":"budget_exceeded","current_usage_usd":999999999.123456789' +
        ',"monthly_limit_usd":1000000000.000000001,"percentage_used":100.01}',
    });
    const fastify = await app({ baseUrl: proxy.url });
    const answer = await post(fastify, newTenant());
    assert.match(answer.body, /"current_usage_usd":999999999\.123456789,"monthly_limit_usd":1000000000\.000000001,/);
    assert.equal(answer.headers["retry-after"], "7");
    await fastify.close();
    await proxy.stop();
  });

  it("does not reach its handler, holds nothing, and does not lock the tenant out", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.01);
    let handled = 0;
    const fastify = await app(
      {
        baseUrl: service.url,
        estimate: (request) => ({ ...ESTIMATE, outputTokens: (request.body as { output: number }).output }),
      },
      () => (handled += 1),
    );
    assert.equal((await post(fastify, tenant, { output: 500 })).statusCode, 429);
    assert.equal(handled, 0);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
    assert.equal((await post(fastify, tenant, { output: 300 })).statusCode, 200);
    assert.equal((await post(fastify, tenant, { output: 501 })).statusCode, 429);
    assert.equal(fastify.aiBudget.stats().servedFromCache, 1);
    await fastify.close();
  });
});

describe("a request that is wrong", () => {
  it("is answered 400 without a tenant", async () => {
    const fastify = await app({ baseUrl: service.url });
    const answer = await post(fastify, undefined);
    assert.equal(answer.statusCode, 400);
    assert.deepEqual(answer.json(), {
      error: "Bad Request",
      message: "send the tenant in the header x-tenant-id",
      code: "tenant_missing",
      field: "x-tenant-id",
    });
    assert.equal((await post(fastify, "")).statusCode, 400);
    await fastify.close();
  });

  it("is answered 400 with the field named", async () => {
    const proxy = await Proxy.start(service.url);
    const fastify = await app({ baseUrl: proxy.url, estimate: (request) => request.body as typeof ESTIMATE });
    const cases: [string, object, Record<string, string>][] = [
      ["tenant_id", ESTIMATE, { "x-tenant-id": "a b" }],
      ["tenant_id", ESTIMATE, { "x-tenant-id": "a".repeat(129) }],
      ["user_id", ESTIMATE, { "x-user-id": "a b" }],
      ["report_type", ESTIMATE, { "x-report-type": "a".repeat(65) }],
      ["model", { ...ESTIMATE, model: "no model" }, {}],
      ["model", { ...ESTIMATE, model: undefined }, {}],
      ["estimated_input_tokens", { ...ESTIMATE, inputTokens: -1 }, {}],
      ["estimated_output_tokens", { ...ESTIMATE, outputTokens: 0.5 }, {}],
      ["cache_read_tokens", { ...ESTIMATE, cacheReadTokens: 1e10 }, {}],
      ["service_tier", { ...ESTIMATE, serviceTier: "cheap" }, {}],
    ];
    for (const [field, estimate, headers] of cases) {
      const answer = await post(fastify, "acme", estimate, headers);
      assert.equal(answer.statusCode, 400, answer.body);
      assert.equal(answer.json<{ field: string }>().field, field);
    }
    assert.equal(proxy.seen.length, 0);
    // And those that only the service can tell.
    const answer = await post(fastify, "acme", { ...ESTIMATE, model: "no-such-model" });
    assert.equal(answer.statusCode, 400);
    const { code, field } = answer.json<{ code: string; field: string }>();
    assert.deepEqual({ code, field }, { code: "model_unpriced", field: "model" });
    await fastify.close();
    await proxy.stop();
  });

  it("is answered 403 where it names a tenant that is not the key's, and is not let through", async () => {
    const token = await service.key(newTenant());
    let handled = 0;
    const fastify = await app({ baseUrl: service.url, token }, () => (handled += 1));
    const answer = await post(fastify, newTenant());
    assert.equal(answer.statusCode, 403);
    const message = "this key reads and spends for another tenant";
    assert.deepEqual(answer.json(), { error: "Forbidden", message, code: "other_tenant" });
    assert.equal(handled, 0);
    const { checked, failedOpen } = fastify.aiBudget.stats();
    assert.deepEqual({ checked, failedOpen }, { checked: 1, failedOpen: 0 });
    await fastify.close();
  });
});

describe("the routes that are checked", () => {
  it("are those with a config, with settings of their own", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = Fastify();
    await fastify.register(bursar, { baseUrl: service.url, token: TOKEN });
    let call: AiBudgetCall | null = null;
    const aiBudget = { model: MODEL, outputTokens: 10, tenant: () => tenant, reportType: () => "nightly" };
    fastify.post("/own", { config: { aiBudget } }, async (request) => {
      call = request.aiBudget;
      return Promise.resolve({});
    });
    fastify.get("/free", async (request) => Promise.resolve({ checked: request.aiBudget !== null }));
    const answer = await fastify.inject({ method: "POST", url: "/own", payload: { prompt: "x".repeat(288) } });
    assert.equal(answer.statusCode, 200);
    const seen = call as AiBudgetCall | null;
    assert.equal(seen?.reportType, "nightly");
    // 300 bytes of body, three to a token.
    assert.deepEqual(seen.estimate, { model: MODEL, inputTokens: 101, outputTokens: 10 });
    assert.deepEqual((await fastify.inject("/free")).json(), { checked: false });
    await fastify.close();
  });

  it("are all of a scope where that is asked for, and none outside", async () => {
    const tenant = newTenant();
    const fastify = Fastify();
    await fastify.register(async (scope) => {
      await scope.register(bursar, { baseUrl: service.url, token: TOKEN, enable: "scope", estimate: () => ESTIMATE });
      const checked = async (request: { aiBudget: unknown }): Promise<object> =>
        Promise.resolve({ checked: request.aiBudget !== null });
      scope.get("/in", checked);
      scope.get("/left-out", { config: { aiBudget: false } }, checked);
    });
    fastify.get("/out", async (request) => Promise.resolve({ checked: "aiBudget" in request }));
    const headers = { "x-tenant-id": tenant };
    assert.deepEqual((await fastify.inject({ url: "/in", headers })).json(), { checked: true });
    assert.deepEqual((await fastify.inject({ url: "/left-out", headers })).json(), { checked: false });
    assert.deepEqual((await fastify.inject({ url: "/out", headers })).json(), { checked: false });
    assert.equal((await fastify.inject({ url: "/in" })).statusCode, 400);
    assert.equal((await fastify.inject({ url: "/nowhere" })).statusCode, 404);
    await fastify.close();
  });

  it("take the bound of the completion from the body, and refuse one that is no number", async () => {
    const fastify = Fastify();
    await fastify.register(bursar, { baseUrl: service.url, token: TOKEN, enable: "scope" });
    fastify.post("/", async (request) => Promise.resolve({ output: request.aiBudget?.estimate.outputTokens }));
    const ask = async (payload: object): Promise<unknown> =>
      (await fastify.inject({ method: "POST", url: "/", headers: { "x-tenant-id": newTenant() }, payload })).json();
    assert.deepEqual(await ask({ model: MODEL }), { output: 4096 });
    assert.deepEqual(await ask({ model: MODEL, max_tokens: 7 }), { output: 7 });
    assert.deepEqual(await ask({ model: MODEL, max_completion_tokens: 8, n: 3 }), { output: 24 });
    assert.deepEqual(await ask({ model: MODEL, max_output_tokens: 9 }), { output: 9 });
    assert.deepEqual(await ask({ model: MODEL, max_output_tokens: null, n: null }), { output: 4096 });
    assert.equal(((await ask({ model: MODEL, max_tokens: "7" })) as { code: string }).code, "invalid_field");
    assert.equal(((await ask({})) as { code: string }).code, "model_missing");
    await fastify.close();
  });
});

describe("options", () => {
  it("that can't be meant are refused at the start, by name and without their value", async () => {
    const wrong: [string, Partial<Record<keyof AiBudgetOptions, unknown>>][] = [
      ["baseUrl", { baseUrl: "nowhere" }],
      ["baseUrl", { baseUrl: "http://user:hidden-secret@localhost" }],
      ["baseUrl", { baseUrl: "http://localhost/?token=hidden-secret" }],
      ["token", { token: "hidden-secret\n" }],
      ["failMode", { failMode: "ajar" }],
      ["cacheTtlMs", { cacheTtlMs: -1 }],
      ["queueSize", { queueSize: 0 }],
      ["tenant", { tenant: "not a header" }],
      ["estimate", { estimate: "1000" }],
      ["enable", { enable: "all" }],
      ["spoolPath", { spoolPath: "" }],
    ];
    for (const [name, options] of wrong) {
      const fastify = Fastify();
      const registered = fastify.register(bursar, { baseUrl: service.url, ...options } as AiBudgetOptions);
      await assert.rejects(async () => registered, (error: Error) => {
        assert.match(error.message, new RegExp(`option ${name} `));
        assert.doesNotMatch(error.message, /hidden-secret/);
        return true;
      });
    }
  });

  it("of a route are looked at when the route is added", async () => {
    const fastify = Fastify();
    await fastify.register(bursar, { baseUrl: service.url });
    assert.throws(() => fastify.get("/", { config: { aiBudget: { outputTokens: -1 } } }, () => ""), /outputTokens/);
    await fastify.close();
  });

  it("take a token from a function, for every call anew", async () => {
    const proxy = await Proxy.start(service.url);
    let calls = 0;
    const token = async (): Promise<string> => {
      calls += 1;
      return Promise.resolve(TOKEN);
    };
    const fastify = await app({ baseUrl: proxy.url, token });
    assert.equal((await post(fastify, newTenant())).statusCode, 200);
    await fastify.close();
    assert.equal(calls, 2);
    for (const { path, headers } of proxy.seen) {
      assert.ok(!path.includes(TOKEN));
      assert.equal(headers.authorization, `Bearer ${TOKEN}`);
    }
    await proxy.stop();
  });
});
