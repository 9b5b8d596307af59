/** Refusals that are served again: from this process, from Redis, and for how long. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Redis } from "ioredis";

import type { Refusal } from "../src/client.js";
import { VerdictCache } from "../src/verdict.js";
import { ESTIMATE, Proxy, REDIS_URL, RedisWay, Service, app, newTenant, post, until } from "./harness.js";

let service: Service;
let redis: Redis;
before(async () => {
  service = await Service.start();
  redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 1 });
  // A Redis that is not there fails the tests.
  await redis.ping();
});
after(async () => {
  redis.disconnect();
  await service.remove();
});

const refusal: Refusal = {
  message: "no",
  currentUsageUsd: "1.5",
  monthlyLimitUsd: "1.5",
  percentageUsed: "100",
  retryAfterSeconds: 600,
  resetsAt: undefined,
};

describe("a refusal", () => {
  it("is served again from this process while the service is gone", async () => {
    const own = await Service.start();
    const tenant = newTenant();
    await own.setBudget(tenant, 0.01);
    const fastify = await app({ baseUrl: own.url });
    const first = await post(fastify, tenant);
    await own.kill();
    const second = await post(fastify, tenant);
    assert.equal(second.statusCode, 429);
    assert.equal(second.body, first.body);
    assert.equal(second.headers["x-ai-budget-warning"], "true");
    assert.ok(Math.abs(Number(second.headers["retry-after"]) - Number(first.headers["retry-after"])) <= 5);
    const { refused, servedFromCache, checked, failedOpen } = fastify.aiBudget.stats();
    assert.deepEqual({ refused, servedFromCache, checked, failedOpen }, {
      refused: 2,
      servedFromCache: 1,
      checked: 1,
      failedOpen: 0,
    });
    await fastify.close();
    await own.remove();
  });

  it("is served by another instance through Redis while the service is gone", async () => {
    const own = await Service.start();
    const tenant = newTenant();
    await own.setBudget(tenant, 0.01);
    const [one, other, byUrl] = [
      await app({ baseUrl: own.url, redis }),
      await app({ baseUrl: own.url, redis }),
      await app({ baseUrl: own.url, redis: REDIS_URL, redisTimeoutMs: 1000 }),
    ];
    await until("a connection", async () => {
      await post(byUrl, newTenant());
      return byUrl.aiBudget.stats().redisErrors === 0 || byUrl.aiBudget.stats().checked > 20;
    });
    const first = await post(one, tenant);
    assert.equal(first.statusCode, 429);
    // Closing waits for the write.
    await one.close();
    await own.kill();
    for (const fastify of [other, byUrl]) {
      const second = await post(fastify, tenant);
      assert.equal(second.statusCode, 429);
      assert.equal(second.body, first.body);
      assert.equal(fastify.aiBudget.stats().servedFromCache, 1);
      await fastify.close();
    }
    assert.equal(redis.status, "ready");
    await own.remove();
  });

  it("has a key that names nobody, and a time to live of at most the cache's", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.01);
    const before = new Set(await redis.keys("bursar:verdict:*"));
    const fastify = await app({ baseUrl: service.url, redis });
    await post(fastify, tenant);
    await fastify.close();
    const keys = (await redis.keys("bursar:verdict:*")).filter((key) => !before.has(key));
    assert.equal(keys.length, 1);
    const [key = ""] = keys;
    assert.ok(!key.includes(tenant));
    const ttl = await redis.pttl(key);
    assert.ok(ttl > 50_000 && ttl <= 60_000, String(ttl));
  });

  it("is asked for again after the time to live", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.01);
    const fastify = await app({ baseUrl: service.url, redis, cacheTtlMs: 300 });
    await post(fastify, tenant);
    await post(fastify, tenant);
    assert.equal(fastify.aiBudget.stats().servedFromCache, 1);
    await service.setBudget(tenant, 1);
    await until("the refusal to be over", async () => (await post(fastify, tenant)).statusCode === 200, 5000);
    await fastify.close();
  });

  it("by money that calls in flight hold is served for no longer than the service says", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.011);
    let free: () => void = () => undefined;
    const fastify = await app({ baseUrl: service.url, redis }, (request) => {
      free = (): void => request.aiBudget?.release();
      return {};
    });
    assert.equal((await post(fastify, tenant)).statusCode, 200);
    const refused = await post(fastify, tenant);
    assert.equal(refused.statusCode, 429);
    assert.equal(refused.headers["retry-after"], "1");
    free();
    await fastify.aiBudget.flush();
    await until("the refusal to be over", async () => (await post(fastify, tenant)).statusCode === 200, 5000);
    await fastify.close();
  });

  it("is never served beyond the budget's reset", async () => {
    const cache = new VerdictCache("test", 10, 60_000, undefined);
    const subject = { tenant: "acme", user: undefined, reportType: undefined };
    cache.put(subject, ESTIMATE, { ...refusal, resetsAt: Date.now() + 100 });
    assert.equal((await cache.find(subject, ESTIMATE))?.retryAfterSeconds, 600);
    await until("the reset", async () => (await cache.find(subject, ESTIMATE)) === undefined, 1000);
    cache.put(subject, ESTIMATE, { ...refusal, resetsAt: Date.now() - 1 });
    assert.equal(await cache.find(subject, ESTIMATE), undefined);
  });

  it("holds for the same tenant, model, user, report type and tier, and for no smaller request", async () => {
    const cache = new VerdictCache("test", 10, 60_000, undefined);
    const subject = { tenant: "acme", user: "ann", reportType: "summary" };
    cache.put(subject, { ...ESTIMATE, cacheReadTokens: 5 }, refusal);
    const same = { ...ESTIMATE, cacheReadTokens: 5 };
    assert.ok(await cache.find(subject, same));
    assert.ok(await cache.find(subject, { ...same, inputTokens: 1001, serviceTier: "standard" }));
    for (const estimate of [
      { ...same, inputTokens: 999 },
      { ...same, inputTokens: 9999, outputTokens: 499 },
      { ...same, cacheReadTokens: 4 },
      { ...same, model: "claude-3-haiku-20240307" },
      { ...same, serviceTier: "batch" as const },
    ]) {
      assert.equal(await cache.find(subject, estimate), undefined);
    }
    for (const other of [{ tenant: "acme2" }, { user: undefined }, { user: "bob" }, { reportType: undefined }]) {
      assert.equal(await cache.find({ ...subject, ...other }, same), undefined);
    }
  });

  it("that was used longest ago is forgotten when there are too many", async () => {
    const cache = new VerdictCache("test", 2, 60_000, undefined);
    const [a, b, c] = ["a", "b", "c"].map((tenant) => ({ tenant, user: undefined, reportType: undefined }));
    assert.ok(a && b && c);
    cache.put(a, ESTIMATE, refusal);
    cache.put(b, ESTIMATE, refusal);
    assert.ok(await cache.find(a, ESTIMATE));
    cache.put(c, ESTIMATE, refusal);
    assert.ok(await cache.find(a, ESTIMATE));
    assert.equal(await cache.find(b, ESTIMATE), undefined);
    assert.ok(await cache.find(c, ESTIMATE));
  });
});

describe("Redis", () => {
  it("that holds something else is not believed", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 0.01);
    const before = new Set(await redis.keys("bursar:verdict:*"));
    const one = await app({ baseUrl: service.url, redis });
    await post(one, tenant);
    await one.close();
    const [key = ""] = (await redis.keys("bursar:verdict:*")).filter((found) => !before.has(found));
    const good = await redis.get(key);
    assert.ok(good !== null);
    const forged = good.replace('"percentageUsed":"', '"percentageUsed":"1,\\"x\\":');
    assert.notEqual(forged, good);
    const bad = ["", "[]", "null", "{", forged, "x".repeat(9000)];
    for (const value of bad) {
      await redis.set(key, value, "PX", 60_000);
      const fastify = await app({ baseUrl: service.url, redis });
      assert.equal((await post(fastify, tenant)).statusCode, 429);
      const { servedFromCache, checked } = fastify.aiBudget.stats();
      assert.deepEqual({ servedFromCache, checked }, { servedFromCache: 0, checked: 1 });
      await fastify.close();
    }
  });

  it("that goes away, or was never there, fails no request", async () => {
    const way = await RedisWay.start();
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url, redis: way.url });
    await until("a connection", async () => {
      const errors = fastify.aiBudget.stats().redisErrors;
      await post(fastify, tenant);
      return fastify.aiBudget.stats().redisErrors === errors;
    });
    const { url } = way;
    await way.cut();
    const errors = fastify.aiBudget.stats().redisErrors;
    for (let count = 0; count < 20; count += 1) assert.equal((await post(fastify, tenant)).statusCode, 200);
    assert.ok(fastify.aiBudget.stats().redisErrors > errors);
    await fastify.close();
    const never = await app({ baseUrl: service.url, redis: url });
    assert.equal((await post(never, tenant)).statusCode, 200);
    await never.close();
  });

  it("that does not answer costs one short wait, then nothing for a while", async () => {
    const way = await RedisWay.start();
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const own = new Redis(way.url);
    await own.ping();
    const fastify = await app({ baseUrl: service.url, redis: own, redisTimeoutMs: 100 });
    way.hang();
    const start = performance.now();
    for (let count = 0; count < 10; count += 1) assert.equal((await post(fastify, tenant)).statusCode, 200);
    assert.ok(performance.now() - start < 1000);
    assert.equal(fastify.aiBudget.stats().redisErrors, 1);
    await fastify.close();
    own.disconnect();
    await way.cut();
  });
});

describe("an approval", () => {
  it("is never served from a cache", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    const fastify = await app({ baseUrl: proxy.url, redis });
    for (let count = 0; count < 3; count += 1) await post(fastify, tenant);
    await fastify.close();
    assert.equal(proxy.seen.filter(({ path }) => path.endsWith("/check")).length, 3);
    await proxy.stop();
  });
});
