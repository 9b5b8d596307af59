/** Records that can't be delivered, and disks that fail, hold up nothing else. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, it, mock } from "node:test";

import type { Item, TrackBody } from "../src/client.js";
import type { Stats } from "../src/stats.js";
import { type Canned, MODEL, Proxy, Service, app, newTenant, post, tempDir, until } from "./harness.js";

let service: Service;
let dir: string;
let spoolPath: string;
let spools = 0;
before(async () => {
  service = await Service.start();
  dir = await tempDir();
});
beforeEach(() => {
  spools += 1;
  spoolPath = join(dir, `spool-${spools}.jsonl`);
});
after(async () => {
  await service.remove();
  await rm(dir, { recursive: true, force: true });
});

function usageOf(tenant: string): Item {
  const tokens = { prompt_tokens: 1000, completion_tokens: 420 };
  return { kind: "track", body: { request_id: randomUUID(), tenant_id: tenant, model: MODEL, ...tokens } };
}

/** What an earlier process has left in the spool. */
async function leave(items: readonly Item[]): Promise<void> {
  const lines = items.map((item) => `${JSON.stringify(item)}\n`);
  await writeFile(`${spoolPath}.${randomUUID()}.replay`, lines.join(""));
}

function times(count: number, tenant: string): Item[] {
  return Array.from({ length: count }, () => usageOf(tenant));
}

/** Answers usage of a tenant with an error. */
function failing(tenant: string, status: number): (path: string, body: string) => Canned | undefined {
  return (path, body) => {
    const isIts = path.endsWith("/track") && (JSON.parse(body) as TrackBody).tenant_id === tenant;
    return isIts ? { status, body: "{}" } : undefined;
  };
}

describe("a record", () => {
  it("for a tenant that is not the key's is set aside, and the others are delivered", async () => {
    const [own, other] = [newTenant(), newTenant()];
    const foreign = times(5, other);
    await leave([...foreign, ...times(3, own)]);
    const fastify = await app({ baseUrl: service.url, token: await service.key(own), spoolPath });
    await until("the delivery", () => fastify.aiBudget.stats().tracked === 3);
    await until("an empty spool", () => fastify.aiBudget.stats().spoolBytes === 0);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().dropped, 5);
    const rejected = (await readFile(`${spoolPath}.rejected`, "utf8")).trimEnd().split("\n");
    assert.deepEqual(rejected.sort(), foreign.map((item) => JSON.stringify(item)).sort());
  });

  it("that fails again and again is left for later, and the others are delivered", async () => {
    for (const status of [400, 500]) {
      const [good, bad] = [newTenant(), newTenant()];
      const proxy = await Proxy.start(service.url);
      proxy.answer = failing(bad, status);
      await leave([...times(10, bad), ...times(3, good), ...times(2, bad)]);
      await leave(times(2, good));
      const fastify = await app({ baseUrl: proxy.url, spoolPath });
      await until("the delivery of the others", () => fastify.aiBudget.stats().tracked === 5);
      await post(fastify, good);
      await until("the delivery of what comes", () => fastify.aiBudget.stats().tracked === 6);
      assert.equal((await service.reservations(bad)).length, 0);
      proxy.answer = undefined;
      await until("an empty spool", () => fastify.aiBudget.stats().spoolBytes === 0);
      await fastify.close();
      const { tracked, dropped } = fastify.aiBudget.stats();
      assert.deepEqual({ tracked, dropped }, { tracked: 18, dropped: 0 });
      assert.equal((await service.reservations(bad)).length, 12);
      await proxy.stop();
    }
  });

  it("that fails again and again holds up none in memory", async () => {
    const [good, bad] = [newTenant(), newTenant()];
    const proxy = await Proxy.start(service.url);
    proxy.answer = failing(bad, 500);
    const fastify = await app({ baseUrl: proxy.url, retryAttempts: 2 });
    for (let count = 0; count < 6; count += 1) await post(fastify, bad);
    for (let count = 0; count < 3; count += 1) await post(fastify, good);
    await until("the delivery of the others", () => fastify.aiBudget.stats().tracked === 3);
    assert.equal(fastify.aiBudget.stats().queued, 6);
    proxy.answer = undefined;
    await fastify.aiBudget.flush();
    assert.equal(fastify.aiBudget.stats().tracked, 9);
    await fastify.close();
    await proxy.stop();
  });

  it("is no reason to hammer a service that is away altogether", async () => {
    for (const [status, most] of [[503, 4], [401, 4]] as const) {
      const proxy = await Proxy.start(service.url);
      proxy.answer = () => ({ status, body: "" });
      await leave(times(50, newTenant()));
      const fastify = await app({ baseUrl: proxy.url, spoolPath, spoolIntervalMs: 60_000 });
      const { spoolBytes } = fastify.aiBudget.stats();
      await until("some tries", () => proxy.seen.length === most);
      // Closing waits for the round to end.
      await fastify.close();
      assert.equal(proxy.seen.length, most);
      assert.equal(fastify.aiBudget.stats().spoolBytes, spoolBytes);
      await proxy.stop();
    }
  });

  it("of a release that is too early holds up none", async () => {
    const tenant = newTenant();
    const until30 = new Date(Date.now() + 30_000).toISOString();
    const early: Item = { kind: "release", requestId: randomUUID(), until: until30 };
    const late: Item = { kind: "release", requestId: randomUUID(), until: new Date().toISOString() };
    await leave([early, late, usageOf(tenant)]);
    const fastify = await app({ baseUrl: service.url, spoolPath });
    await until("the delivery", () => fastify.aiBudget.stats().tracked === 1);
    await until("the rewritten spool", async () => (await readFile(spoolPath, "utf8").catch(() => "")) !== "");
    await fastify.close();
    const { released, dropped } = fastify.aiBudget.stats();
    assert.deepEqual({ released, dropped }, { released: 1, dropped: 0 });
  });
});

describe("a file of the spool that can't be read", () => {
  it("holds up no other, and what comes later is delivered", async () => {
    const tenant = newTenant();
    const proxy = await Proxy.start(service.url);
    proxy.answer = failing(tenant, 503);
    const broken = `${spoolPath}.${randomUUID()}.replay`;
    await mkdir(broken);
    const fastify = await app({ baseUrl: proxy.url, spoolPath, retryAttempts: 1 });
    const stats = (): Stats => fastify.aiBudget.stats();
    for (let count = 0; count < 3; count += 1) await post(fastify, tenant);
    await until("the spool", () => stats().spooled === 3);
    proxy.answer = undefined;
    await until("the delivery", () => stats().tracked === 3);
    await post(fastify, tenant);
    await until("the delivery of what comes", () => stats().tracked === 4);
    assert.equal(stats().spooled, 3);
    await rm(broken, { recursive: true });
    await until("an empty spool", () => stats().spoolBytes === 0);
    await fastify.close();
    assert.equal(stats().dropped, 0);
    await proxy.stop();
  });
});

describe("a disk that fails while the service is away", () => {
  it("loses nothing for which memory has room, and what comes later is delivered", async () => {
    const file = await open(dir);
    const disk = Object.getPrototypeOf(file) as FileHandle;
    await file.close();
    const tenant = newTenant();
    const proxy = await Proxy.start(service.url);
    proxy.answer = failing(tenant, 503);
    const fastify = await app({ baseUrl: proxy.url, spoolPath, retryAttempts: 2 });
    const { mock: synced } = mock.method(disk, "datasync", async () => Promise.reject(new Error("ENOSPC")));
    try {
      for (let count = 0; count < 5; count += 1) await post(fastify, tenant);
      await until("some writes", () => synced.callCount() >= 3);
      await post(fastify, tenant);
      proxy.answer = undefined;
      await until("the delivery", () => fastify.aiBudget.stats().tracked === 6);
      const writes = synced.callCount();
      await post(fastify, tenant);
      await until("the delivery of what comes", () => fastify.aiBudget.stats().tracked === 7);
      assert.equal(synced.callCount(), writes);
    } finally {
      synced.restore();
    }
    await fastify.close();
    const { dropped, spooled } = fastify.aiBudget.stats();
    assert.deepEqual({ dropped, spooled }, { dropped: 0, spooled: 0 });
    await proxy.stop();
  });
});
