/** The service fails: requests go on or stop, and every call is charged exactly once in the end. */

import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Proxy, Service, app, newTenant, post, tempDir, until } from "./harness.js";

let service: Service;
let dir: string;
before(async () => {
  service = await Service.start();
  dir = await tempDir();
});
afterEach(async () => {
  await service.kill();
  await service.start();
});
after(async () => {
  await service.remove();
  await rm(dir, { recursive: true, force: true });
});

let spools = 0;
function newSpool(): string {
  spools += 1;
  return join(dir, `spool-${spools}.jsonl`);
}

const COST = 0.0093;

async function used(tenant: string): Promise<unknown> {
  return (await service.budget(tenant))["current_usage_usd"];
}

describe("while the service is gone", () => {
  it("requests are let through, and what they use is charged once it is back", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url, spoolPath: newSpool() });
    await service.kill();
    for (let count = 0; count < 3; count += 1) assert.equal((await post(fastify, tenant)).statusCode, 200);
    await fastify.aiBudget.flush();
    const stats = fastify.aiBudget.stats();
    assert.equal(stats.failedOpen, 3);
    assert.equal(stats.spooled, 3);
    assert.ok(stats.spoolBytes > 0);
    await service.start();
    await until("the delivery", () => fastify.aiBudget.stats().tracked === 3);
    await until("an empty spool", () => fastify.aiBudget.stats().spoolBytes === 0);
    assert.equal(await used(tenant), 0.0279);
    assert.equal((await service.reservations(tenant)).length, 3);
    await fastify.close();
  });

  it("requests are answered 503 where that is wanted", async () => {
    const fastify = await app({ baseUrl: service.url, failMode: "closed" });
    await service.kill();
    const answer = await post(fastify, newTenant());
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.headers["retry-after"], "1");
    assert.equal(answer.json<{ code: string }>().code, "budget_unavailable");
    const { failedClosed, failedOpen, queued } = fastify.aiBudget.stats();
    assert.deepEqual({ failedClosed, failedOpen, queued }, { failedClosed: 1, failedOpen: 0, queued: 0 });
    await fastify.close();
  });

  it("a request that was checked before is settled afterwards, once", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const spoolPath = newSpool();
    const fastify = await app({ baseUrl: service.url, spoolPath }, async (request) => {
      await service.kill();
      return { tracked: request.aiBudget?.track({ promptTokens: 1000, completionTokens: 420 }) };
    });
    assert.equal((await post(fastify, tenant)).statusCode, 200);
    await fastify.close();
    await service.start();
    assert.equal((await service.budget(tenant))["held_usd"], 0.0105);
    const next = await app({ baseUrl: service.url, spoolPath });
    await until("the delivery", () => next.aiBudget.stats().tracked === 1);
    await next.close();
    assert.equal(await used(tenant), COST);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
  });

  it("usage outlives the process that spooled it, even one that is killed", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const spoolPath = newSpool();
    await service.kill();
    const first = await Child.start(service.url, spoolPath);
    await first.post(tenant, 5);
    assert.equal((await first.stats())["spooled"], 5);
    await first.kill();
    // As a crash in the middle of a line would leave it.
    await writeFile(spoolPath, '{"kind":"track","bo', { flag: "a" });
    const second = await Child.start(service.url, spoolPath);
    await second.post(tenant, 2);
    await service.start();
    await until("the delivery", async () => (await second.stats())["tracked"] === 7);
    assert.equal((await second.stats())["dropped"], 1);
    await second.kill("SIGTERM");
    assert.equal(await used(tenant), 0.0651);
    assert.deepEqual(await readFile(`${spoolPath}.rejected`, "utf8"), '{"kind":"track","bo\n');
  });

  it("two processes share a spool, and every call is charged once", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const spoolPath = newSpool();
    await service.kill();
    const pair = [await Child.start(service.url, spoolPath), await Child.start(service.url, spoolPath)];
    await Promise.all(pair.map(async (child) => child.post(tenant, 20)));
    await service.start();
    await until("the delivery", async () => (await service.reservations(tenant)).length === 40);
    await Promise.all(pair.map(async (child) => child.kill("SIGTERM")));
    assert.equal(await used(tenant), 0.372);
  });

  it("without a spool, usage stays in memory and is delivered later", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const fastify = await app({ baseUrl: service.url, retryAttempts: 2 });
    await service.kill();
    await post(fastify, tenant);
    await until("some retries", () => fastify.aiBudget.stats().retried > 3);
    await service.start();
    await fastify.aiBudget.flush();
    assert.equal(await used(tenant), COST);
    assert.equal(fastify.aiBudget.stats().dropped, 0);
    await fastify.close();
  });
});

describe("a slow or failing service", () => {
  it("lets requests through after the timeout, and what it held in spite of it goes back", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    proxy.delayMs = 300;
    const fastify = await app({ baseUrl: proxy.url, checkTimeoutMs: 50 }, (request) => {
      request.aiBudget?.release();
      return {};
    });
    const start = performance.now();
    assert.equal((await post(fastify, tenant)).statusCode, 200);
    assert.ok(performance.now() - start < 290);
    assert.equal(fastify.aiBudget.stats().failedOpen, 1);
    await until("the late hold", async () => (await service.budget(tenant))["held_usd"] === 0.0105);
    await until("the release", () => fastify.aiBudget.stats().released === 1);
    assert.equal((await service.budget(tenant))["held_usd"], 0);
    await fastify.close();
    await proxy.stop();
  });

  it("is no refusal when it answers 429 for too many requests, 5xx, or something unknown", async () => {
    const proxy = await Proxy.start(service.url);
    for (const [status, body] of [
      [429, '{"error":"Too many requests","message":"slow down","code":"rate_limited"}'],
      [429, "<html>"],
      [500, '{"error":"Internal error","message":"x","code":"internal"}'],
      [503, ""],
      [200, "{}"],
      [200, '{"allowed":true,"current_usage_usd":"1","monthly_limit_usd":1,"percentage_used":1}'],
      [200, `{"allowed":true,"x":"${"x".repeat(70_000)}"}`],
      [302, ""],
      [404, "{}"],
    ] as const) {
      proxy.answer = (path) => {
        const headers = { "retry-after": "3", location: "/elsewhere" };
        return path.endsWith("/check") ? { status, headers, body } : undefined;
      };
      const open = await app({ baseUrl: proxy.url }, (request) => {
        request.aiBudget?.release();
        return {};
      });
      assert.equal((await post(open, newTenant())).statusCode, 200, `${status} ${body.slice(0, 80)}`);
      assert.equal(open.aiBudget.stats().failedOpen, 1);
      await open.close();
    }
    proxy.answer = () => ({ status: 503, headers: { "retry-after": "3" }, body: "" });
    const closed = await app({ baseUrl: proxy.url, failMode: "closed", retryMaxMs: 1, closeTimeoutMs: 0 });
    const answer = await post(closed, newTenant());
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.headers["retry-after"], "3");
    await closed.close();
    await proxy.stop();
  });

  it("that does not know the token is a failure, and the log never says the token", async () => {
    const lines: string[] = [];
    for (const [failMode, status] of [["open", 200], ["closed", 503]] as const) {
      for (const token of ["wrong-token-0123456789", (): string => "wrong-token-\n0123456789"]) {
        const fastify = await app({ baseUrl: service.url, token, failMode, closeTimeoutMs: 0, spoolPath: newSpool() });
        fastify.log.error = (...said: unknown[]): void => {
          lines.push(JSON.stringify(said));
        };
        assert.equal((await post(fastify, newTenant())).statusCode, status);
        await fastify.close();
      }
    }
    assert.ok(lines.length >= 4);
    assert.ok(!lines.some((line) => line.includes("wrong-token")));
  });

  it("that loses its answers charges nothing twice", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    proxy.lose.set("/api/ai-budget/check", 1);
    proxy.lose.set("/api/ai-budget/track", 3);
    const fastify = await app({ baseUrl: proxy.url });
    for (let count = 0; count < 3; count += 1) assert.equal((await post(fastify, tenant)).statusCode, 200);
    await fastify.aiBudget.flush();
    const { retried, tracked, failedOpen } = fastify.aiBudget.stats();
    assert.deepEqual({ retried, tracked, failedOpen }, { retried: 3, tracked: 3, failedOpen: 0 });
    const budget = await service.budget(tenant);
    assert.equal(budget["current_usage_usd"], 0.0279);
    assert.equal(budget["held_usd"], 0);
    await fastify.close();
    await proxy.stop();
  });
});

describe("the queue", () => {
  it("that is full goes to the spool, and all of it arrives", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    const fastify = await app({
      baseUrl: proxy.url,
      spoolPath: newSpool(),
      queueSize: 5,
      queueConcurrency: 1,
      retryAttempts: 100,
    });
    proxy.answer = (path) => (path.endsWith("/track") ? { status: 503, body: "" } : undefined);
    for (let count = 0; count < 20; count += 1) await post(fastify, tenant);
    await until("the overflow", () => fastify.aiBudget.stats().spooled >= 15);
    assert.equal(fastify.aiBudget.stats().dropped, 0);
    proxy.answer = undefined;
    await until("the delivery", () => fastify.aiBudget.stats().tracked === 20);
    assert.equal(await used(tenant), 0.186);
    await fastify.close();
    await proxy.stop();
  });

  it("that is full and has no spool says how much is lost", async () => {
    const tenant = newTenant();
    const proxy = await Proxy.start(service.url);
    proxy.answer = (path) => (path.endsWith("/track") ? { status: 503, body: "" } : undefined);
    const fastify = await app({ baseUrl: proxy.url, queueSize: 5, closeTimeoutMs: 50 });
    for (let count = 0; count < 8; count += 1) await post(fastify, tenant);
    assert.equal(fastify.aiBudget.stats().dropped, 3);
    assert.equal(fastify.aiBudget.stats().queued, 5);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().dropped, 8);
    await proxy.stop();
  });

  it("is delivered when the application closes", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    const fastify = await app({ baseUrl: proxy.url, queueConcurrency: 1 });
    proxy.delayMs = 20;
    for (let count = 0; count < 10; count += 1) await post(fastify, tenant);
    await fastify.close();
    assert.equal(fastify.aiBudget.stats().tracked, 10);
    assert.equal(await used(tenant), 0.093);
    await proxy.stop();
  });

  it("goes to the spool when closing takes too long", async () => {
    const tenant = newTenant();
    await service.setBudget(tenant, 10);
    const proxy = await Proxy.start(service.url);
    const spoolPath = newSpool();
    const fastify = await app({ baseUrl: proxy.url, spoolPath, closeTimeoutMs: 100, queueConcurrency: 1 });
    proxy.delayMs = 60_000;
    proxy.delayed = "/track";
    for (let count = 0; count < 6; count += 1) await post(fastify, tenant);
    const start = performance.now();
    await fastify.close();
    assert.ok(performance.now() - start < 2000);
    assert.equal(fastify.aiBudget.stats().spooled, 6);
    const next = await app({ baseUrl: service.url, spoolPath });
    await until("the delivery", async () => (await used(tenant)) === 0.0558);
    await next.close();
    await proxy.stop();
  });

  it("sets aside what the service refuses for good", async () => {
    const proxy = await Proxy.start(service.url);
    const spoolPath = newSpool();
    const fastify = await app({ baseUrl: proxy.url, spoolPath });
    const problem = '{"error":"Conflict","message":"x","code":"request_id_reused"}';
    proxy.answer = (path) => (path.endsWith("/track") ? { status: 409, body: problem } : undefined);
    const { id } = (await post(fastify, newTenant())).json<{ id: string }>();
    await fastify.close();
    const { dropped, retried } = fastify.aiBudget.stats();
    assert.deepEqual({ dropped, retried }, { dropped: 1, retried: 0 });
    assert.match(await readFile(`${spoolPath}.rejected`, "utf8"), new RegExp(`"request_id":"${id}"`));
    await proxy.stop();
  });
});

describe("the spool", () => {
  it("that is full leaves to memory what does not fit, loses the rest, and says so", async () => {
    const options = { baseUrl: service.url, spoolPath: newSpool(), spoolBytes: 4096, queueSize: 3 };
    const fastify = await app({ ...options, closeTimeoutMs: 50 });
    await service.kill();
    for (let count = 0; count < 30; count += 1) await post(fastify, newTenant());
    await until("the loss", () => fastify.aiBudget.stats().dropped > 5);
    await fastify.close();
    const { spooled, dropped, spoolBytes } = fastify.aiBudget.stats();
    assert.equal(spooled + dropped, 30);
    assert.ok(spooled > 5 && dropped > 5);
    assert.ok(spoolBytes <= 4096);
  });

  it("that can't be written is told at the start", async () => {
    const file = join(dir, "file");
    await writeFile(file, "");
    await assert.rejects(async () => app({ baseUrl: service.url, spoolPath: join(file, "spool") }));
  });

  it("is for its owner's eyes, and empty in the end", async () => {
    const spoolPath = newSpool();
    const fastify = await app({ baseUrl: service.url, spoolPath, spoolIntervalMs: 10_000 });
    await service.kill();
    await post(fastify, newTenant());
    await fastify.aiBudget.flush();
    assert.equal((await stat(spoolPath)).mode & 0o777, 0o600);
    await fastify.close();
    await service.start();
    const next = await app({ baseUrl: service.url, spoolPath });
    await until("the delivery", () => next.aiBudget.stats().spoolBytes === 0);
    await next.close();
    assert.deepEqual((await readdir(dir)).filter((name) => name.startsWith(basename(spoolPath))), []);
  });
});

/** An application in a process of its own. */
class Child {
  private constructor(readonly process: ChildProcess) {}

  static async start(baseUrl: string, spoolPath: string): Promise<Child> {
    const child = fork(fileURLToPath(new URL("./child.js", import.meta.url)), [baseUrl, spoolPath]);
    await once(child, "message");
    return new Child(child);
  }

  async post(tenant: string, count: number): Promise<void> {
    this.process.send({ tenant, count });
    await once(this.process, "message");
  }

  async stats(): Promise<Record<string, number>> {
    this.process.send({});
    const [stats] = (await once(this.process, "message")) as [Record<string, number>];
    return stats;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const exited = once(this.process, "exit");
    this.process.kill(signal);
    await exited;
  }
}
