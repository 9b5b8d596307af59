/**
 * Keeps records on disk, a JSON line each, until they are delivered.
 *
 * A file is never changed while it is read: what is to be delivered is first renamed, so several processes may share
 * a path. A record leaves the disk only after it was delivered. It may be delivered twice, and is charged once.
 *
 * Invariant: what is said to be written outlasts a loss of power, and a line that was cut off spoils no other.
 */

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { Item } from "./client.js";
import { isObject, parseObject } from "./json.js";

/** Longer lines are not ours. */
const LINE_MOST = 16 * 1024;

/** Another process may be in the middle of an append when a file is renamed. */
const GRACE_MS = 200;

const NEWLINE = 0x0a;

/** Lines that wait to be written to a file together, and whether they were. */
interface Batch {
  text: string;
  written: Promise<boolean> | undefined;
}

/** A file that is being delivered. */
export interface Claim {
  readonly path: string;
  readonly bytes: number;
  readonly readableFrom: number;
  /** Lines from the beginning that were tried. */
  done: number;
  /** Those of them that are left for later. */
  readonly left: string[];
}

export class Spool {
  readonly #path: string;
  readonly #limit: number;
  #bytes = 0;
  #exclusive: Promise<unknown> = Promise.resolve();
  readonly #batches = new Map<string, Batch>();
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
    if (await this.#write(this.#path, text)) return count;
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
      this.#claims.push({ path, bytes: size, readableFrom: performance.now() + GRACE_MS, done: 0, left: [] });
    }).catch(() => undefined);
  }

  /** The records of a file that were not tried yet, with their lines; nothing for a line that is no record. */
  async *read(claim: Claim): AsyncGenerator<{ line: number; text: string; item: Item | undefined }> {
    let line = 0;
    try {
      for await (const text of lines(claim.path)) {
        if (line >= claim.done) yield { line, text, item: parse(text) };
        line += 1;
      }
    } catch (error) {
      // Another process has adopted the file and delivered all of it.
      if (!(isObject(error) && error["code"] === "ENOENT")) throw error;
    }
  }

  /** Everything in the file is done with, or left for later, which is written behind what comes. */
  async finish(claim: Claim): Promise<void> {
    const text = claim.left.map((line) => `${line}\n`).join("");
    // It was on disk before, so there is room for it. Where there is none all the same, the file stays as it is.
    if (text !== "" && !(await this.#write(this.#path, text))) return;
    this.#bytes += Buffer.byteLength(text);
    // Where the file can't be removed now, it is removed later, and nothing is written again.
    claim.left.length = 0;
    await rm(claim.path, { force: true });
    this.#claims.splice(this.#claims.indexOf(claim), 1);
    this.#bytes = Math.max(this.#bytes - claim.bytes, 0);
  }

  /** Keeps what the service will never take, for a person to look at. */
  async reject(text: string): Promise<void> {
    const path = `${this.#path}.rejected`;
    const size = await stat(path).then((found) => found.size, () => 0);
    if (size + text.length <= this.#limit) await this.#write(path, `${text}\n`);
  }

  /** Whether the lines are on disk. Those that come while something else is written share one sync. */
  async #write(path: string, text: string): Promise<boolean> {
    const batch = this.#batches.get(path) ?? { text: "", written: undefined };
    this.#batches.set(path, batch);
    batch.text += text;
    batch.written ??= this.#alone(async () => {
      this.#batches.delete(path);
      await appendLines(path, batch.text);
      return true;
    }).catch(() => false);
    return await batch.written;
  }

  async #adopt(path: string): Promise<void> {
    const size = await stat(path).then((found) => found.size, () => undefined);
    if (size === undefined) return;
    this.#bytes += size;
    this.#claims.push({ path, bytes: size, readableFrom: 0, done: 0, left: [] });
  }

  /** One at a time touches the files. */
  async #alone<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#exclusive.then(act);
    this.#exclusive = result.catch(() => undefined);
    return await result;
  }
}

/** Returns when the lines are on disk. Fails with the file as it was before. */
async function appendLines(path: string, text: string): Promise<void> {
  // Another process may have claimed the file, and be done with it, before the lines were in it.
  for (let turn = 0; turn < 5; turn += 1) if (await appendOnce(path, text)) return;
  throw new Error(`${path} is removed again and again`);
}

/** Whether the lines are in a file that is still there. */
async function appendOnce(path: string, text: string): Promise<boolean> {
  const file = await open(path, "a+", 0o600);
  try {
    const { size } = await file.stat();
    const last = size === 0 ? NEWLINE : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0];
    // What a crash or a full disk has cut off must not be continued.
    const bytes = Buffer.from(last === NEWLINE ? text : `\n${text}`);
    let written = 0;
    try {
      while (written < bytes.length) written += (await file.write(bytes, written)).bytesWritten;
      await file.datasync();
    } catch (error) {
      // What was written of it is said not to be there. What another process has written since stays.
      if ((await file.stat()).size === size + written) await file.truncate(size);
      throw error;
    }
    if (size === 0) await syncFolder(dirname(path));
    return (await file.stat()).nlink > 0;
  } finally {
    await file.close();
  }
}

/** Makes the name of a new file outlast a loss of power, on platforms that can. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, "r");
    await folder.sync().finally(async () => folder.close());
  } catch {
    // Windows opens no folders, and some file systems don't sync them.
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
  const { kind, requestId, until, body } = value;
  // The id becomes part of a path.
  if (kind === "release" && typeof requestId === "string" && UUID.test(requestId)) {
    return { kind, requestId, ...(typeof until === "string" ? { until } : {}) };
  }
  // Whatever else is wrong with a body, the service finds.
  if (kind === "track" && isObject(body)) return { kind, body } as unknown as Item;
  return undefined;
}
