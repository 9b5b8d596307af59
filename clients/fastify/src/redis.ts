/** What the plugin asks of Redis, and how it keeps a Redis that is slow or gone away from requests. */

import type { SparseLog } from "./log.js";
import type { Stats } from "./stats.js";

/** The part of an ioredis instance that is used. */
export interface RedisLike {
  readonly status: string;
  get(key: string): Promise<string | null>;
  set(key: string, value: string, unit: "PX", milliseconds: number): Promise<unknown>;
}

/** Values are written by us and short; others are not read. */
const VALUE_MOST = 8192;

/** After Redis was too slow, requests do without it for this long. */
const PAUSE_MS = 1000;

/** Redis with a short deadline. It never throws: a fault is a miss, a counter and a line in the log. */
export class SharedCache {
  readonly #redis: RedisLike;
  readonly #timeoutMs: number;
  readonly #stats: Stats;
  readonly #log: SparseLog;
  readonly #close: () => void;
  #pausedUntil = 0;

  constructor(redis: RedisLike, timeoutMs: number, stats: Stats, log: SparseLog, close: () => void) {
    this.#redis = redis;
    this.#timeoutMs = timeoutMs;
    this.#stats = stats;
    this.#log = log;
    this.#close = close;
  }

  async get(key: string): Promise<string | undefined> {
    const value = await this.#within(async () => this.#redis.get(key));
    return typeof value === "string" && value.length <= VALUE_MOST ? value : undefined;
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    await this.#within(async () => this.#redis.set(key, value, "PX", ttlMs));
  }

  /** Closes the connection where it is the plugin's own. */
  close(): void {
    this.#close();
  }

  async #within<T>(act: () => Promise<T>): Promise<T | null> {
    if (performance.now() < this.#pausedUntil) return null;
    // A command to a Redis that is not there would wait in ioredis' queue.
    if (this.#redis.status !== "ready") return this.#fault("not connected");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, this.#timeoutMs, "late");
    });
    try {
      const result = await Promise.race([act().then((value) => ({ value })), late]);
      if (result !== "late") return result.value;
      this.#pausedUntil = performance.now() + PAUSE_MS;
      return this.#fault("too slow");
    } catch {
      return this.#fault("refused a command");
    } finally {
      clearTimeout(timer);
    }
  }

  #fault(what: string): null {
    this.#stats.redisErrors += 1;
    this.#log.say("warn", `redis ${what}`, `redis is ${what}; refusals are not shared between processes meanwhile`);
    return null;
  }
}

/** Opens a connection of the plugin's own. Not being able to connect is no error; it is tried again for ever. */
export async function openRedis(url: string, stats: Stats, log: SparseLog, timeoutMs: number): Promise<SharedCache> {
  const { Redis } = await import("ioredis").catch(() => {
    throw new TypeError("@bursar/fastify: option redis is a URL, so the package ioredis has to be installed");
  });
  const redis = new Redis(url, {
    connectTimeout: 2000,
    commandTimeout: timeoutMs * 2,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times: number) => Math.min(100 * 2 ** Math.min(times, 5), 3000),
  });
  // Without a listener, ioredis writes its errors to the console.
  redis.on("error", () => {
    stats.redisErrors += 1;
  });
  return new SharedCache(redis, timeoutMs, stats, log, () => {
    redis.disconnect();
  });
}
