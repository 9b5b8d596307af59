/** What becomes of the money that is held for a request. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import Fastify, { type FastifyRequest } from "fastify";

import bursar, { type AiBudgetCall } from "../src/index.js";
import { ESTIMATE, Proxy, Service, TOKEN, app, newTenant, post, send, tempDir, until, usage } from "./harness.js";

let service: Service;
before(async () => {
  service = await Service.start();
});
after(async () => {
  await service.remove();
});

describe("what is held", () => {
  it("is kept when the handler fails, for it may have called a model", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url }, () => {
      throw new Error("the vendor is down");
    });
    assert.equal((await post(fastify, tenant)).statusCode, 500);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().released, 0);
    assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
  });

  it("is kept when the handler says nothing, also on a route that is older than the plugin", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = Fastify();
    await fastify.register(async (scope) => {
      scope.post("/reports", { config: { aiBudget: true } }, async () => Promise.resolve({}));
      await scope.register(bursar, { baseUrl: service.url, token: TOKEN, estimate: () => ESTIMATE });
      scope.post("/newer", { config: { aiBudget: true } }, async () => Promise.resolve({}));
    });
    const headers = { "x-tenant-id": tenant };
    for (const url of ["/reports", "/newer"]) {
      assert.equal((await fastify.inject({ method: "POST", url, headers })).statusCode, 200);
    }
    await fastify.close();
    assert.equal((await service.budget(tenant))["held_usd"], 0.021);
  });

  it("is released when a hook ends the request before the handler starts, unless it says otherwise", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    let handled = 0;
    const preHandler = async (request: FastifyRequest): Promise<void> => {
      const { how } = request.body as { how: string };
      if (how === "keep") request.aiBudget?.keep();
      return Promise.reject(new Error("no entry"));
    };
    const fastify = Fastify();
    await fastify.register(bursar, { baseUrl: service.url, token: TOKEN, estimate: () => ESTIMATE });
    fastify.post("/reports", { config: { aiBudget: true }, preHandler }, () => (handled += 1));
    assert.equal((await post(fastify, tenant, { how: "end" })).statusCode, 500);
    await until("the release", () => fastify.aiBudget.stats().released === 1);
    assert.equal((await post(fastify, tenant, { how: "keep" })).statusCode, 500);
    await fastify.close();
    assert.equal(handled, 0);
    assert.equal(fastify.aiBudget.stats().released, 1);
    assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
  });

  it("is released by usage without a token, and what comes later is charged all the same", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const none = { promptTokens: 0, completionTokens: 0, cacheReadTokens: 0 };
    const fastify = await app({ baseUrl: service.url }, async (request) => {
      const taken = request.aiBudget?.track(none);
      await until("the release", () => fastify.aiBudget.stats().released === 1);
      const held = (await service.budget(tenant))["held_usd"];
      return { taken, held, again: request.aiBudget?.track(none), tracked: request.aiBudget?.track(usage) };
    });
    assert.deepEqual((await post(fastify, tenant)).json(), { taken: true, held: 0, again: true, tracked: true });
    await fastify.close();
    const { released, tracked, dropped } = fastify.aiBudget.stats();
    assert.deepEqual({ released, tracked, dropped }, { released: 1, tracked: 1, dropped: 0 });
    assert.equal((await service.budget(tenant))["current_usage_usd"], 0.0093);
  });

  it("is released at once when the handler says that nothing was used, and only once", async () => {
    const tenant = newTenant();
    const proxy = await Proxy.start(service.url);
    const fastify = await app({ baseUrl: proxy.url }, (request) => {
      request.aiBudget?.release();
      request.aiBudget?.release();
      return {};
    });
    await post(fastify, tenant);
    await fastify.close();
    assert.equal(proxy.seen.filter(({ path }) => path.endsWith("/release")).length, 1);
    await proxy.stop();
  });

  it("is kept for usage that is reported after the answer", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    let call: AiBudgetCall | null = null;
    const fastify = await app({ baseUrl: service.url }, (request) => {
      call = request.aiBudget;
      return {};
    });
    await post(fastify, tenant);
    await fastify.aiBudget.flush();
    assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
    const later = call as AiBudgetCall | null;
    assert.equal(later?.track(usage), true);
    assert.equal(later.track(usage), false);
    await fastify.close();
    assert.equal((await service.budget(tenant))["current_usage_usd"], 0.0093);
  });

  it("is kept when the handler reports nonsense", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const wrong = [undefined, {}, { promptTokens: 1 }, { promptTokens: Number.NaN, completionTokens: 1 }];
    for (const one of wrong) {
      const fastify = await app({ baseUrl: service.url }, (request) => ({
        taken: request.aiBudget?.track(one as unknown as typeof usage),
      }));
      const answer = await post(fastify, tenant);
      assert.deepEqual(answer.json(), { taken: false });
      assert.equal(fastify.aiBudget.stats().invalid, 1);
      await fastify.close();
    }
    assert.equal((await service.budget(tenant))["held_usd"], 0.042);
  });

  it("is kept when the caller goes away while the handler waits", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    let gone = false;
    let started = false;
    const fastify = await app({ baseUrl: service.url }, async (request) => {
      started = true;
      await once(request.raw.socket, "close");
      gone = true;
    });
    await fastify.listen({ port: 0, host: "127.0.0.1" });
    const request = send(fastify.server, tenant);
    await until("the handler", () => started);
    request.destroy();
    await until("the end", () => gone);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().released, 0);
    assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
  });

  it("is released, and no model called, when the caller goes away during the check", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    proxy.delayMs = 200;
    let handled = 0;
    const fastify = await app({ baseUrl: proxy.url }, () => (handled += 1));
    await fastify.listen({ port: 0, host: "127.0.0.1" });
    const request = send(fastify.server, tenant);
    await until("the check", () => proxy.seen.length === 1);
    request.destroy();
    await until("the release", () => fastify.aiBudget.stats().released === 1);
    assert.equal(handled, 0);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
    assert.equal((await service.reservations(tenant)).length, 1);
    await fastify.close();
    await proxy.stop();
  });

  it("is charged when usage is reported after the caller went away", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    let finish: () => void = () => undefined;
    const vendor = new Promise<void>((resolve) => (finish = resolve));
    let started = false;
    const fastify = await app({ baseUrl: service.url }, async (request) => {
      started = true;
      await once(request.raw.socket, "close");
      await vendor;
      return { tracked: request.aiBudget?.track(usage) };
    });
    await fastify.listen({ port: 0, host: "127.0.0.1" });
    const request = send(fastify.server, tenant);
    await until("the handler", () => started);
    request.destroy();
    finish();
    await until("the usage", () => fastify.aiBudget.stats().tracked === 1);
    assert.equal((await service.budget(tenant))["current_usage_usd"], 0.0093);
    await fastify.close();
  });
});

describe("a check without an answer", () => {
  it("leaves no hold, also where its release overtakes it", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    let open: () => void = () => undefined;
    proxy.gate = new Promise<void>((resolve) => (open = resolve));
    const fastify = await app({ baseUrl: proxy.url, checkTimeoutMs: 50, failMode: "closed" });
    assert.equal((await post(fastify, tenant)).statusCode, 503);
    await until("some releases", () => fastify.aiBudget.stats().retried >= 2);
    assert.equal(fastify.aiBudget.stats().released, 0);
    open();
    await until("the release", () => fastify.aiBudget.stats().released === 1);
    const [reservation] = await service.reservations(tenant);
    assert.equal(reservation?.["state"], "released");
    await fastify.close();
    await proxy.stop();
  });

  it("leaves no hold where the application closes before it is worked on", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    let open: () => void = () => undefined;
    proxy.gate = new Promise<void>((resolve) => (open = resolve));
    const dir = await tempDir();
    const options = { baseUrl: proxy.url, checkTimeoutMs: 50, spoolPath: join(dir, "spool.jsonl") };
    const fastify = await app({ ...options, failMode: "closed" });
    assert.equal((await post(fastify, tenant)).statusCode, 503);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().spooled, 1);
    open();
    await until("the late hold", async () => (await service.budget(tenant))["held_usd"] === 0.0105);
    const next = await app(options);
    await until("the release", () => next.aiBudget.stats().released === 1);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
    await next.close();
    await proxy.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it("leaves no hold where a second try was answered that nothing is held", async () => {
    const refusal = '"current_usage_usd":1,"monthly_limit_usd":1,"percentage_used":100';
    for (const [status, code, answered] of [
      [429, "rate_limited", 503],
      [401, "unauthorized", 503],
      [429, "budget_exceeded", 429],
    ] as const) {
      const tenant = newTenant();
      await service.setBudget(tenant, 10);
      const proxy = await Proxy.start(service.url);
      proxy.lose.set("/api/ai-budget/check", 1);
      const body = `{"error":"x","message":"x","code":"${code}",${refusal}}`;
      const isSecond = (path: string): boolean => path.endsWith("/check") && proxy.seen.length === 2;
      proxy.answer = (path) => (isSecond(path) ? { status, body } : undefined);
      const fastify = await app({ baseUrl: proxy.url, failMode: "closed" });
      assert.equal((await post(fastify, tenant)).statusCode, answered);
      assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
      await until("the release", () => fastify.aiBudget.stats().released === 1);
      assert.equal((await service.budget(tenant))["held_usd"], 0);
      await fastify.close();
      await proxy.stop();
    }
  });
});
