/** Many requests at once: a budget is never overspent, and everything that was used is charged. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { Redis } from "ioredis";

import { REDIS_URL, Service, app, newTenant, post } from "./harness.js";

let service: Service;
before(async () => {
  service = await Service.start();
});
after(async () => {
  await service.remove();
});

it("of 5,000 requests, a hundred at a time, exactly those are made that fit", { timeout: 300_000 }, async () => {
  const tenant = newTenant();
  // 1,500 requests of $0.0105 that use all of what was held for them.
  await service.setBudget(tenant, 15.75);
  const redis = new Redis(REDIS_URL);
  // Four instances, as in a cluster; refusals by calls in flight are served for a second at most.
  const instances = await Promise.all(
    Array.from({ length: 4 }, async () =>
      app({ baseUrl: service.url, redis, checkTimeoutMs: 60_000, failMode: "closed" }, (request) =>
        request.aiBudget?.track({ promptTokens: 1000, completionTokens: 500 }),
      ),
    ),
  );
  const answers = new Map<number, number>();
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < 5000) {
      const instance = instances[started % instances.length];
      assert.ok(instance);
      started += 1;
      const { statusCode } = await post(instance, tenant);
      answers.set(statusCode, (answers.get(statusCode) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 100 }, worker));
  await Promise.all(instances.map(async (instance) => instance.close()));
  redis.disconnect();

  const approved = answers.get(200) ?? 0;
  assert.equal(approved + (answers.get(429) ?? 0), 5000);
  assert.ok(approved <= 1500, `${approved} requests were made where 1,500 fit`);
  assert.ok(approved >= 1400, `only ${approved} requests were made where 1,500 fit`);
  const budget = await service.budget(tenant);
  // In tenths of a thousandth of a dollar, which floats hold exactly here.
  assert.equal(Math.round(Number(budget["current_usage_usd"]) * 10_000), approved * 105);
  assert.equal(budget["held_usd"], 0);
  const tracked = instances.reduce((sum, instance) => sum + instance.aiBudget.stats().tracked, 0);
  assert.equal(tracked, approved);
});
