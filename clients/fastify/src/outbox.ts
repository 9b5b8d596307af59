/**
 * Delivers usage and releases off the path of requests: from memory, and when that does not work, from disk.
 *
 * Invariant: a record is in memory until the service has answered for it or the spool has it. What is lost is counted.
 */

import type { Client, DeliveryAnswer, Item } from "./client.js";
import { within } from "./deadline.js";
import type { SparseLog } from "./log.js";
import type { Settings } from "./options.js";
import { type Claim, Spool } from "./spool.js";
import type { Stats } from "./stats.js";

type OutboxSettings = Pick<
  Settings,
  | "queueSize"
  | "queueConcurrency"
  | "spoolPath"
  | "spoolBytes"
  | "spoolIntervalMs"
  | "retryAttempts"
  | "retryBaseMs"
  | "retryMaxMs"
  | "trackTimeoutMs"
>;

export class Outbox {
  readonly #client: Client;
  readonly #settings: OutboxSettings;
  readonly #stats: Stats;
  readonly #log: SparseLog;
  readonly #spool: Spool | undefined;
  /** In the order of arrival. */
  readonly #queue = new Set<Item>();
  /** What a worker has taken. */
  readonly #taken = new Set<Item>();
  readonly #workers = new Set<Promise<void>>();
  readonly #writes = new Set<Promise<void>>();
  readonly #delayed = new Map<NodeJS.Timeout, Item>();
  readonly #stop = new AbortController();
  #writing = 0;
  /** Deliveries fail, so what comes goes to the spool until one succeeds. */
  #isDown = false;
  #isClosing = false;
  #timer: NodeJS.Timeout | undefined;
  #replay: Promise<void> = Promise.resolve();

  private constructor(
    client: Client,
    settings: OutboxSettings,
    stats: Stats,
    log: SparseLog,
    spool: Spool | undefined,
  ) {
    this.#client = client;
    this.#settings = settings;
    this.#stats = stats;
    this.#log = log;
    this.#spool = spool;
  }

  static async open(client: Client, settings: OutboxSettings, stats: Stats, log: SparseLog): Promise<Outbox> {
    const path = settings.spoolPath;
    const spool = path === undefined ? undefined : await Spool.open(path, settings.spoolBytes);
    const outbox = new Outbox(client, settings, stats, log, spool);
    if (spool !== undefined) outbox.#schedule(0);
    return outbox;
  }

  /** Records in memory. */
  get queued(): number {
    return this.#queue.size + this.#taken.size + this.#delayed.size + this.#writing;
  }

  get spoolBytes(): number {
    return this.#spool?.bytes ?? 0;
  }

  /** Takes a record. Never waits, never throws. */
  put(item: Item): void {
    if (this.#stop.signal.aborted || (this.#isDown && this.#spool !== undefined)) {
      this.#toSpool([item]);
      return;
    }
    if (this.#queue.size + this.#taken.size >= this.#settings.queueSize) {
      this.#log.say("warn", "queue full", "the queue of usage is full", { queueSize: this.#settings.queueSize });
      this.#toSpool([item]);
      return;
    }
    this.#queue.add(item);
    this.#pump();
  }

  /** Takes a record that must not be delivered before a while has passed. */
  putLater(item: Item, delayMs: number): void {
    if (this.#isClosing || this.#delayed.size >= this.#settings.queueSize) {
      this.put(item);
      return;
    }
    const timer = setTimeout(() => {
      this.#delayed.delete(timer);
      this.put(item);
    }, delayMs);
    timer.unref();
    this.#delayed.set(timer, item);
  }

  /** Waits until nothing is in memory any more: all was delivered, or is in the spool. */
  async flush(): Promise<void> {
    while (this.#workers.size + this.#writes.size > 0) await Promise.all([...this.#workers, ...this.#writes]);
  }

  /** Delivers what it can within the time; the rest goes to the spool. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    for (const [timer, item] of this.#delayed) {
      clearTimeout(timer);
      this.put(item);
    }
    this.#delayed.clear();
    const deadline = setTimeout(() => {
      this.#stop.abort();
    }, timeoutMs);
    await this.flush();
    await this.#replay;
    clearTimeout(deadline);
    this.#stop.abort();
    this.#toSpool([...this.#queue]);
    this.#queue.clear();
    await this.flush();
  }

  #pump(): void {
    while (this.#workers.size < this.#settings.queueConcurrency && this.#queue.size > 0) this.#work();
  }

  #work(): void {
    const worker = this.#drain()
      // Nothing in it throws; were it otherwise, the process should not end for it.
      .catch(() => {
        this.#log.say("error", "worker", "a worker of the queue has failed");
      })
      .finally(() => {
        this.#workers.delete(worker);
        if (!this.#stop.signal.aborted) this.#pump();
      });
    this.#workers.add(worker);
  }

  async #drain(): Promise<void> {
    for (const item of this.#queue) {
      if (this.#stop.signal.aborted) return;
      this.#queue.delete(item);
      this.#taken.add(item);
      const isDone = await this.#insist(item);
      this.#taken.delete(item);
      if (!isDone) this.#toSpool([item]);
      if (isDone || this.#spool === undefined) continue;
      // Others would fare no better.
      this.#isDown = true;
      this.#toSpool([...this.#queue]);
      this.#queue.clear();
    }
  }

  /** Tries until the service has answered for the record, and whether it has. */
  async #insist(item: Item): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#deliver(item);
      if (answer.kind !== "failure") return true;
      const isLast = attempt >= this.#settings.retryAttempts || this.#isDown;
      // Without a spool there is no better place than memory.
      if (isLast && this.#spool !== undefined) return false;
      await pause(this.#backoff(attempt, answer.retryAfterSeconds), this.#stop.signal);
      if (this.#stop.signal.aborted) return false;
      this.#stats.retried += 1;
    }
  }

  /** One attempt, counted and logged. */
  async #deliver(item: Item): Promise<DeliveryAnswer> {
    const { trackTimeoutMs } = this.#settings;
    const answer = await within(trackTimeoutMs, this.#stop.signal, async (signal) =>
      this.#client.deliver(item, signal),
    );
    if (answer.kind === "failure") {
      const { reason, detail } = answer;
      const level = reason === "access" ? "error" : "warn";
      this.#log.say(level, `deliver ${reason}`, "the budget service can't be told what was used", { reason, detail });
      return answer;
    }
    this.#isDown = false;
    if (answer.kind === "invalid") {
      const { code, field } = answer;
      this.#reject(JSON.stringify(item), { code, field, requestId: idOf(item) });
    } else if (item.kind === "track") this.#stats.tracked += 1;
    else this.#stats.released += 1;
    return answer;
  }

  /** Exponential, with jitter, and never before the service wants it. */
  #backoff(attempt: number, retryAfterSeconds: number | undefined): number {
    const { retryBaseMs, retryMaxMs } = this.#settings;
    const most = Math.min(retryBaseMs * 2 ** Math.min(attempt - 1, 20), retryMaxMs);
    const least = Math.min((retryAfterSeconds ?? 0) * 1000, retryMaxMs);
    return Math.max(most * (0.5 + Math.random() / 2), least);
  }

  #reject(text: string, fields: Readonly<Record<string, unknown>>): void {
    this.#stats.dropped += 1;
    this.#log.say("error", "rejected", "a record of usage was rejected for good", fields);
    if (this.#spool !== undefined) this.#follow(this.#spool.reject(text));
  }

  #toSpool(items: readonly Item[]): void {
    if (items.length === 0) return;
    const spool = this.#spool;
    // A disk that does not keep up must not fill the memory.
    if (spool === undefined || this.#writing >= this.#settings.queueSize * 2) {
      this.#lose(items.length);
      return;
    }
    this.#writing += items.length;
    this.#follow(
      spool.append(items).then((count) => {
        this.#writing -= items.length;
        this.#stats.spooled += count;
        if (count < items.length) this.#lose(items.length - count);
      }),
    );
  }

  #lose(count: number): void {
    this.#stats.dropped += count;
    const why = this.#spool === undefined ? "there is no spool" : "the spool is full or can't be written";
    this.#log.say("error", "lost", `records of usage are lost: ${why}`, { count });
  }

  /** Lets `flush` wait for a write. */
  #follow(write: Promise<void>): void {
    const followed = write
      .catch(() => undefined)
      .finally(() => {
        this.#writes.delete(followed);
      });
    this.#writes.add(followed);
  }

  #schedule(delayMs: number): void {
    if (this.#isClosing) return;
    this.#timer = setTimeout(() => {
      this.#replay = this.#replayAll()
        .catch(() => {
          this.#log.say("error", "replay", "the spool can't be read");
        })
        .finally(() => {
          this.#schedule(this.#settings.spoolIntervalMs * (0.5 + Math.random()));
        });
    }, delayMs);
    this.#timer.unref();
  }

  /** Delivers what is in the spool, until a delivery fails. */
  async #replayAll(): Promise<void> {
    const spool = this.#spool;
    if (spool === undefined) return;
    await spool.claim();
    for (const claim of [...spool.claims]) {
      if (performance.now() < claim.readableFrom) continue;
      if (!(await this.#replayFile(spool, claim))) return;
    }
  }

  /** Whether the file was delivered to its end. */
  async #replayFile(spool: Spool, claim: Claim): Promise<boolean> {
    const chunk: { line: number; delivered: Promise<boolean> }[] = [];
    const settle = async (): Promise<boolean> => {
      const results = await Promise.all(chunk.map(async ({ delivered }) => delivered));
      chunk.forEach(({ line }, index) => {
        if (results[index] === true) claim.also.add(line);
      });
      chunk.length = 0;
      while (claim.also.delete(claim.done)) claim.done += 1;
      return results.every(Boolean);
    };
    for await (const { line, text, item } of spool.read(claim)) {
      if (this.#isClosing) break;
      chunk.push({ line, delivered: this.#replayLine(text, item) });
      // One to find out, then several at a time.
      if (chunk.length >= (this.#isDown ? 1 : this.#settings.queueConcurrency) && !(await settle())) return false;
    }
    if (!(await settle()) || this.#isClosing) return false;
    await spool.finish(claim);
    return true;
  }

  async #replayLine(text: string, item: Item | undefined): Promise<boolean> {
    if (item === undefined) {
      if (text !== "") this.#reject(text, { code: "no_record" });
      return true;
    }
    const answer = await this.#deliver(item);
    return answer.kind !== "failure";
  }
}

function idOf(item: Item): unknown {
  return item.kind === "track" ? item.body.request_id : item.requestId;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
