/**
 * Delivers usage and releases off the path of requests: from memory, and when that does not work, from disk.
 *
 * Invariant: a record is in memory until the service has answered for it or the spool has it. What is lost is counted.
 * A record that can't be delivered holds up no other.
 */

import { basename } from "node:path";

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

/** So many failures in a row are not about the records. */
const FAILURES_MOST = 4;

/** What became of a try; `away`: others would fare no better. */
type Outcome = "done" | "early" | "failed" | "away";

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
  /** What is to follow once a record is safe. */
  readonly #next = new WeakMap<Item, () => void>();
  readonly #stop = new AbortController();
  #writing = 0;
  /** Deliveries fail, so what comes goes to the spool until one succeeds. */
  #isDown = false;
  /** The spool is full or can't be written: there is no better place than memory for a while. */
  #isRefused = false;
  /** Failures in a row while the spool is delivered. */
  #failures = 0;
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

  #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  get #canSpool(): boolean {
    return this.#spool !== undefined && !this.#isRefused;
  }

  /** Takes a record. Never waits, never throws. */
  put(item: Item): void {
    if (this.#isStopped() || (this.#isDown && this.#canSpool)) {
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

  /** Takes a record; `then` is called once it has been answered or is on disk, and never where it is lost. */
  putThen(item: Item, then: () => void): void {
    this.#next.set(item, then);
    this.put(item);
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
        if (!this.#isStopped()) this.#pump();
      });
    this.#workers.add(worker);
  }

  async #drain(): Promise<void> {
    for (const item of this.#queue) {
      if (this.#isStopped()) return;
      this.#queue.delete(item);
      this.#taken.add(item);
      const outcome = await this.#insist(item);
      this.#taken.delete(item);
      if (outcome === "early") this.#postpone(item);
      if (outcome !== "failed") continue;
      // Others would hardly fare better.
      this.#isDown = true;
      if (this.#canSpool || this.#isStopped()) {
        this.#toSpool([item, ...this.#queue]);
        this.#queue.clear();
      } else this.#queue.add(item); // In memory it lets the others go first: it may be its own fault.
    }
  }

  /** Tries until the service has answered for the record, or others are to be tried. */
  async #insist(item: Item): Promise<Exclude<Outcome, "away">> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#deliver(item);
      if (answer.kind === "early") return "early";
      if (answer.kind !== "failure") return "done";
      const isLast = attempt >= this.#settings.retryAttempts || this.#isDown;
      if (isLast && this.#canSpool) return "failed";
      await pause(this.#backoff(this.#isDown ? Infinity : attempt, answer.retryAfterSeconds), this.#stop.signal);
      if (this.#isStopped()) return "failed";
      this.#stats.retried += 1;
      if (isLast) return "failed";
    }
  }

  /** Keeps a release that may have overtaken its check, where it holds up none. */
  #postpone(item: Item): void {
    this.#stats.retried += 1;
    if (!this.#isClosing && this.#delayed.size < this.#settings.queueSize) {
      this.putLater(item, this.#backoff(Infinity));
    } else if (this.#canSpool) this.#toSpool([item]);
    else this.#lose(1);
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
    if (answer.kind === "early") return answer;
    if (answer.kind === "invalid") {
      const { code, field } = answer;
      this.#reject(JSON.stringify(item), { code, field, requestId: idOf(item) });
    } else if (item.kind === "track") this.#stats.tracked += 1;
    else this.#stats.released += 1;
    this.#safe(item);
    return answer;
  }

  #safe(item: Item): void {
    const next = this.#next.get(item);
    this.#next.delete(item);
    next?.();
  }

  /** Exponential, with jitter, and never before the service wants it. */
  #backoff(attempt: number, retryAfterSeconds?: number): number {
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
        for (const item of items.slice(0, count)) this.#safe(item);
        if (count < items.length) this.#restore(items.slice(count));
        else this.#isRefused = false;
      }),
    );
  }

  /** Takes back what the spool has not taken, as far as there is room. */
  #restore(items: readonly Item[]): void {
    this.#isRefused = true;
    const room = this.#isStopped() ? 0 : Math.max(this.#settings.queueSize - this.#queue.size - this.#taken.size, 0);
    for (const item of items.slice(0, room)) this.#queue.add(item);
    if (items.length > room) this.#lose(items.length - room);
    this.#pump();
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

  /** Delivers what is in the spool, until the service is away. */
  async #replayAll(): Promise<void> {
    const spool = this.#spool;
    if (spool === undefined) return;
    this.#isRefused = false;
    this.#failures = 0;
    await spool.claim();
    let unreadable = 0;
    for (const claim of [...spool.claims]) {
      if (performance.now() < claim.readableFrom) continue;
      try {
        if (!(await this.#replayFile(spool, claim))) return;
      } catch {
        // It holds up no other one, and is tried again.
        unreadable += 1;
        this.#log.say("error", "replay", "a file of the spool can't be read or removed: see whose it is", {
          file: basename(claim.path),
        });
      }
    }
    // Nothing is left whose delivery could show that the service is back. What comes next will.
    if (spool.claims.length === unreadable && this.#writing === 0) this.#isDown = false;
  }

  /** Whether to go on with the next file. What can't be delivered is left for later. */
  async #replayFile(spool: Spool, claim: Claim): Promise<boolean> {
    const chunk: { line: number; text: string; tried: Promise<Outcome> }[] = [];
    const settle = async (): Promise<boolean> => {
      const outcomes = await Promise.all(chunk.map(async ({ tried }) => tried));
      chunk.forEach(({ line, text }, index) => {
        claim.done = line + 1;
        if (outcomes[index] !== "done") claim.left.push(text);
      });
      chunk.length = 0;
      const failed = outcomes.filter((outcome) => outcome === "failed" || outcome === "away").length;
      this.#failures = failed < outcomes.length ? 0 : this.#failures + failed;
      return !outcomes.includes("away") && this.#failures < FAILURES_MOST;
    };
    try {
      for await (const { line, text, item } of spool.read(claim)) {
        if (this.#isClosing) break;
        chunk.push({ line, text, tried: this.#replayLine(text, item) });
        // One to find out, then several at a time.
        if (chunk.length >= (this.#isDown ? 1 : this.#settings.queueConcurrency) && !(await settle())) return false;
      }
    } catch (error) {
      // What is under way comes to its end, so that it is not sent once more.
      await settle();
      throw error;
    }
    if (!(await settle()) || this.#isClosing) return false;
    await spool.finish(claim);
    return true;
  }

  async #replayLine(text: string, item: Item | undefined): Promise<Outcome> {
    if (item === undefined) {
      if (text !== "") this.#reject(text, { code: "no_record" });
      return "done";
    }
    const answer = await this.#deliver(item);
    if (answer.kind !== "failure") return answer.kind === "early" ? "early" : "done";
    return answer.reason === "network" || answer.reason === "access" ? "away" : "failed";
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
