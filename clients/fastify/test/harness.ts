/** The real service, the real Redis, and proxies that make them slow, lossy or absent. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";

import bursar, { type AiBudgetOptions, type Usage } from "../src/index.js";

export const TOKEN = "test-admin-token-0123456789";
export const MODEL = "claude-3-5-sonnet-20241022";
/** What `ESTIMATE` costs: 1000 at $3 and 500 at $15 a million. */
export const ESTIMATE = { model: MODEL, inputTokens: 1000, outputTokens: 500 };
export const REDIS_URL = process.env["BURSAR_TEST_REDIS_URL"] ?? "redis://127.0.0.1:6379";

/** Waits for what must happen, and fails when it does not. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) assert.fail(`waited in vain for: ${what}`);
    await sleep(10);
  }
}

/** A tenant that no other test knows. */
export function newTenant(): string {
  return `tenant-${randomUUID()}`;
}

export async function tempDir(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "bursar-fastify-"));
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

export interface LedgerRow {
  readonly kind: string;
  readonly request_id: string;
  readonly [name: string]: unknown;
}

/** A service with a database of its own. */
export class Service {
  #child: ChildProcess | undefined;

  private constructor(
    readonly dir: string,
    readonly port: number,
    readonly environment: Readonly<Record<string, string>>,
  ) {}

  static async start(environment: Readonly<Record<string, string>> = {}): Promise<Service> {
    const service = new Service(await tempDir(), await freePort(), environment);
    await service.start();
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const binary = process.env["BURSAR_TEST_BINARY"];
    if (binary === undefined || binary === "") {
      throw new Error("set BURSAR_TEST_BINARY to the bursar binary, such as target/release/bursar");
    }
    const child = spawn(binary, ["serve"], {
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: this.dir,
        BURSAR_LISTEN: `127.0.0.1:${this.port}`,
        BURSAR_DATA_DIR: this.dir,
        BURSAR_DATABASE_URL: `sqlite://${this.dir}/bursar.db`,
        BURSAR_ADMIN_TOKEN: TOKEN,
        BURSAR_RATE_LIMIT_PER_SECOND: "100000",
        ...this.environment,
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    failed.catch(() => undefined);
    this.#child = child;
    const ready = until("the service to be ready", async () => {
      if (child.exitCode !== null) throw new Error(`the service has ended: ${said}`);
      return await fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
    });
    await Promise.race([ready, failed]);
  }

  /** Ends it without a chance to finish anything. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }

  async call(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  async setBudget(tenant: string, limit: number, model = "*"): Promise<void> {
    await this.call("POST", "/api/ai-budget/set", { tenant_id: tenant, model, monthly_limit_usd: limit });
  }

  /** A key of the tenant's own. */
  async key(tenant: string): Promise<string> {
    const { secret } = await this.call("POST", "/api/v1/keys", { tenant_id: tenant });
    assert.ok(typeof secret === "string");
    return secret;
  }

  /** The tenant's budget over all models. */
  async budget(tenant: string): Promise<Record<string, unknown>> {
    const { budgets } = await this.call("GET", `/api/ai-budget/tenant/${tenant}`);
    const budget = (budgets as Record<string, unknown>[]).find((one) => one["model"] === "*");
    assert.ok(budget);
    return budget;
  }

  async reservation(requestId: string): Promise<Record<string, unknown>> {
    return await this.call("GET", `/api/v1/reservations/${requestId}`);
  }

  async reservations(tenant: string): Promise<Record<string, unknown>[]> {
    const { reservations } = await this.call("GET", `/api/v1/reservations?tenant_id=${tenant}&limit=1000`);
    return reservations as Record<string, unknown>[];
  }

  async ledger(tenant: string): Promise<Record<string, unknown>[]> {
    const { entries } = await this.call("GET", `/api/v1/ledger?tenant_id=${tenant}&limit=1000`);
    return entries as Record<string, unknown>[];
  }
}

/** What a handler of the test application does. */
export type Act = (request: FastifyRequest) => unknown;

export const usage: Usage = { promptTokens: 1000, completionTokens: 420 };

/** An application with a route that calls a model, and the plugin with short pauses. */
export async function app(
  options: Partial<AiBudgetOptions> & { baseUrl: string },
  act: Act = (request) => ({ tracked: request.aiBudget?.track(usage), id: request.aiBudget?.requestId }),
): Promise<FastifyInstance> {
  const fastify = Fastify({ forceCloseConnections: true });
  await fastify.register(bursar, {
    token: TOKEN,
    estimate: () => ESTIMATE,
    retryBaseMs: 5,
    retryMaxMs: 50,
    spoolIntervalMs: 50,
    checkTimeoutMs: 5000,
    ...options,
  });
  fastify.post("/reports", { config: { aiBudget: true } }, async (request) => await act(request));
  await fastify.ready();
  return fastify;
}

export async function post(
  fastify: FastifyInstance,
  tenant: string | undefined,
  payload: object = {},
  headers: Record<string, string> = {},
): Promise<Awaited<ReturnType<FastifyInstance["inject"]>>> {
  const tenants: Record<string, string> = tenant === undefined ? {} : { "x-tenant-id": tenant };
  return await fastify.inject({ method: "POST", url: "/reports", headers: { ...tenants, ...headers }, payload });
}

/** A request over a real connection. */
export function send(server: net.Server, tenant: string): http.ClientRequest {
  const { port } = server.address() as net.AddressInfo;
  const headers = { "x-tenant-id": tenant, "content-type": "application/json" };
  const request = http.request({ port, host: "127.0.0.1", method: "POST", path: "/reports", headers });
  request.on("error", () => undefined);
  request.end("{}");
  return request;
}

/** An answer that does not come from the service. */
export interface Canned {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: string;
}

/** Stands between the plugin and the service, and does what networks do. */
export class Proxy {
  readonly #server: http.Server;
  /** Before a request is passed on, */
  delayMs = 0;
  /** where its path ends like this. */
  delayed = "";
  /** Requests of these paths are carried out, but their answer is lost, so many times. */
  readonly lose = new Map<string, number>();
  /** Answers this instead of passing on. */
  answer: ((path: string, body: string) => Canned | undefined) | undefined;
  /** Checks wait for this before they are passed on. */
  gate: Promise<void> | undefined;
  /** Paths passed on, with their bodies. */
  readonly seen: { path: string; body: string; headers: http.IncomingHttpHeaders }[] = [];

  private constructor(target: string) {
    this.#server = http.createServer((request, response) => {
      this.#pass(target, request, response).catch(() => response.destroy());
    });
  }

  static async start(target: string): Promise<Proxy> {
    const proxy = new Proxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #pass(target: string, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const path = request.url ?? "";
    this.seen.push({ path, body, headers: request.headers });
    const own = this.answer?.(path, body);
    if (own !== undefined) {
      response.writeHead(own.status, own.headers).end(own.body);
      return;
    }
    if (this.delayMs > 0 && path.endsWith(this.delayed)) await sleep(this.delayMs, undefined, { ref: false });
    if (path.endsWith("/check")) await this.gate;
    const { authorization = "" } = request.headers;
    const headers = { authorization, ...(body === "" ? {} : { "content-type": "application/json" }) };
    const answer = await fetch(target + path, { method: "POST", headers, body: body === "" ? null : body });
    const text = await answer.text();
    const left = this.lose.get(path) ?? 0;
    if (left > 0) {
      this.lose.set(path, left - 1);
      response.destroy();
      return;
    }
    const retryAfter = answer.headers.get("retry-after");
    const kept: Record<string, string> = retryAfter === null ? {} : { "retry-after": retryAfter };
    response.writeHead(answer.status, { "content-type": "application/json", ...kept }).end(text);
  }
}

/** A way to Redis that can be cut or hold its breath. */
export class RedisWay {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #isHanging = false;

  private constructor() {
    const { hostname, port } = new URL(REDIS_URL);
    this.#server = net.createServer((socket) => {
      const far = net.connect(Number(port === "" ? 6379 : port), hostname);
      this.#sockets.add(socket).add(far);
      for (const [from, to] of [[socket, far], [far, socket]] as const) {
        from.on("data", (data) => {
          if (!this.#isHanging) to.write(data);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
      }
    });
  }

  static async start(): Promise<RedisWay> {
    const way = new RedisWay();
    way.#server.listen(0, "127.0.0.1");
    await once(way.#server, "listening");
    return way;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  hang(): void {
    this.#isHanging = true;
  }

  async cut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}
