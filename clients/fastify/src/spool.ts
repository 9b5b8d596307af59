/**
 * Keeps records on disk, a JSON line each, until they are delivered.
 *
 * A file is never changed while it is read: what is to be delivered is first renamed, so several processes may share
 * a path. A record leaves the disk only after it was delivered. It may be delivered twice, and is charged once.
 */

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { appendFile, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { Item } from "./client.js";
import { isObject, parseObject } from "./json.js";

/** Longer lines are not ours. */
const LINE_MOST = 16 * 1024;

/** Another process may be in the middle of an append when a file is renamed. */
const GRACE_MS = 200;

/** A file that is being delivered. */
export interface Claim {
  readonly path: string;
  readonly bytes: number;
  readonly readableFrom: number;
  /** Lines from the beginning that are done with. */
  done: number;
  /** Lines beyond them that are done with as well. */
  readonly also: Set<number>;
}

export class Spool {
  readonly #path: string;
  readonly #limit: number;
  #bytes = 0;
  #exclusive: Promise<unknown> = Promise.resolve();
  #batch: { text: string; written: Promise<boolean> } | undefined;
  readonly #claims: Claim[] = [];

  private constructor(path: string, limit: number) {
    this.#path = path;
    this.#limit = limit;
  }

  /** Opens the spool, with what an earlier process has left. Fails where the file can't be written. */
  static async open(path: string, limit: number): Promise<Spool> {
    const spool = new Spool(path, limit);
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, "a", 0o600)).close();
    const [head, tail] = [`${basename(path)}.`, ".replay"];
    for (const name of await readdir(dirname(path))) {
      if (name.startsWith(head) && name.endsWith(tail)) await spool.#adopt(join(dirname(path), name));
    }
    spool.#bytes += (await stat(path)).size;
    // A line that a crash has cut off must not be continued by the next one.
    await spool.claim();
    return spool;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get claims(): readonly Claim[] {
    return this.#claims;
  }

  /** How many of the records, from the first on, were written: those that fit, or none on a disk that fails. */
  async append(items: readonly Item[]): Promise<number> {
    let [text, size, count] = ["", 0, 0];
    for (const item of items) {
      const line = `${JSON.stringify(item)}\n`;
      const bytes = Buffer.byteLength(line);
      if (this.#bytes + size + bytes > this.#limit) break;
      text += line;
      size += bytes;
      count += 1;
    }
    if (count === 0) return 0;
    this.#bytes += size;
    if (this.#batch === undefined) {
      const batch = { text: "", written: Promise.resolve(false) };
      this.#batch = batch;
      batch.written = this.#alone(async () => {
        this.#batch = undefined;
        await appendFile(this.#path, batch.text, { mode: 0o600 });
        return true;
      }).catch(() => false);
    }
    this.#batch.text += text;
    const written = await this.#batch.written;
    if (written) return count;
    this.#bytes -= size;
    return 0;
  }

  /** Sets what was written apart, to be delivered. */
  async claim(): Promise<void> {
    await this.#alone(async () => {
      const size = await stat(this.#path).then((found) => found.size, () => 0);
      if (size === 0) return;
      const path = `${this.#path}.${randomUUID()}.replay`;
      await rename(this.#path, path);
      this.#claims.push({ path, bytes: size, readableFrom: performance.now() + GRACE_MS, done: 0, also: new Set() });
    }).catch(() => undefined);
  }

  /** The records of a file that are still to be delivered, with their lines; nothing for a line that is no record. */
  async *read(claim: Claim): AsyncGenerator<{ line: number; text: string; item: Item | undefined }> {
    let line = 0;
    try {
      for await (const text of lines(claim.path)) {
        if (line >= claim.done && !claim.also.has(line)) yield { line, text, item: parse(text) };
        line += 1;
      }
    } catch (error) {
      // Another process has adopted the file and delivered all of it.
      if (!(isObject(error) && error["code"] === "ENOENT")) throw error;
    }
  }

  /** Everything in the file is done with. */
  async finish(claim: Claim): Promise<void> {
    await rm(claim.path, { force: true });
    this.#claims.splice(this.#claims.indexOf(claim), 1);
    this.#bytes = Math.max(this.#bytes - claim.bytes, 0);
  }

  /** Keeps what the service will never take, for a person to look at. */
  async reject(text: string): Promise<void> {
    const path = `${this.#path}.rejected`;
    await this.#alone(async () => {
      const size = await stat(path).then((found) => found.size, () => 0);
      if (size + text.length <= this.#limit) await appendFile(path, `${text}\n`, { mode: 0o600 });
    }).catch(() => undefined);
  }

  async #adopt(path: string): Promise<void> {
    const size = await stat(path).then((found) => found.size, () => undefined);
    if (size === undefined) return;
    this.#bytes += size;
    this.#claims.push({ path, bytes: size, readableFrom: 0, done: 0, also: new Set() });
  }

  /** One at a time touches the files. */
  async #alone<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(act);
    this.#exclusive = result.catch(() => undefined);
    return await result;
  }
}

/** The lines of a file. What goes on and on without an end of line is cut, and is no record then. */
async function* lines(path: string): AsyncGenerator<string> {
  let rest = "";
  // Not readline: it does not tell of a stream's errors.
  for await (const chunk of createReadStream(path, "utf8") as AsyncIterable<string>) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > LINE_MOST) {
      parts.push(rest);
      rest = "";
    }
    yield* parts;
  }
  if (rest !== "") yield rest;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function parse(text: string): Item | undefined {
  if (text.length > LINE_MOST) return undefined;
  const value = parseObject(text)?.value;
  if (value === undefined) return undefined;
  const { kind, requestId, body } = value as { kind?: unknown; requestId?: unknown; body?: unknown };
  // The id becomes part of a path.
  if (kind === "release" && typeof requestId === "string" && UUID.test(requestId)) return { kind, requestId };
  // Whatever else is wrong with a body, the service finds.
  if (kind === "track" && isObject(body)) return { kind, body } as unknown as Item;
  return undefined;
}
