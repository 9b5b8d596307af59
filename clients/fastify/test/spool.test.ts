/** What the spool has kept stays kept: across torn lines, and disks that are full or fail. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFile, type FileHandle, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, it, mock } from "node:test";

import type { Item } from "../src/client.js";
import { Spool } from "../src/spool.js";
import { tempDir } from "./harness.js";

const TORN = '{"kind":"track","bo';
const LIMIT = 1024 * 1024;

let dir: string;
let path: string;
let spools = 0;
/** What all open files have in common, for tests in which the disk fails. */
let disk: FileHandle;
before(async () => {
  dir = await tempDir();
  const file = await open(dir);
  disk = Object.getPrototypeOf(file) as FileHandle;
  await file.close();
});
beforeEach(() => {
  spools += 1;
  path = join(dir, `spool-${spools}.jsonl`);
});
afterEach(() => {
  mock.restoreAll();
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

function usage(id: string): Item {
  const body = { request_id: id, tenant_id: "acme", model: "m", prompt_tokens: 1, completion_tokens: 2 };
  return { kind: "track", body };
}

/** The ids of the records that are to be delivered, in their order; the text of what is no record. */
async function left(spool: Spool): Promise<string[]> {
  await spool.claim();
  const found: string[] = [];
  for (const claim of spool.claims) {
    for await (const { text, item } of spool.read(claim)) {
      found.push(item?.kind === "track" ? item.body.request_id : text);
    }
  }
  return found;
}

it("records are read back in the order in which they were kept, also by the next process", async () => {
  const spool = await Spool.open(path, LIMIT);
  assert.equal(await spool.append([usage("a"), usage("b")]), 2);
  assert.equal(await spool.append([usage("c")]), 1);
  assert.deepEqual(await left(await Spool.open(path, LIMIT)), ["a", "b", "c"]);
});

it("a torn last line does not take the next record with it", async () => {
  const spool = await Spool.open(path, LIMIT);
  await spool.append([usage("a")]);
  await appendFile(path, TORN);
  await spool.append([usage("b"), usage("c")]);
  assert.deepEqual(await left(spool), ["a", TORN, "b", "c"]);
});

it("a torn last line of what was refused does not take the next one with it", async () => {
  const spool = await Spool.open(path, LIMIT);
  await writeFile(`${path}.rejected`, "torn");
  await spool.reject("a");
  await spool.reject("b");
  assert.equal(await readFile(`${path}.rejected`, "utf8"), "torn\na\nb\n");
});

it("what is left of a file is written behind what comes, and counted once", async () => {
  const spool = await Spool.open(path, LIMIT);
  await spool.append([usage("a"), usage("b")]);
  const { bytes } = spool;
  await spool.claim();
  const [claim] = spool.claims;
  assert.ok(claim);
  claim.left.push(JSON.stringify(usage("b")));
  await spool.append([usage("c")]);
  const { mock: synced } = mock.method(disk, "datasync", async () => Promise.reject(new Error("EIO")), { times: 1 });
  await spool.finish(claim);
  assert.equal(synced.callCount(), 1);
  assert.deepEqual(spool.claims, [claim]);
  await spool.finish(claim);
  assert.equal(spool.bytes, bytes);
  assert.deepEqual(await left(spool), ["c", "b"]);
});

it("until when a release may be too early is kept with it", async () => {
  const spool = await Spool.open(path, LIMIT);
  const release: Item = { kind: "release", requestId: randomUUID(), until: new Date().toISOString() };
  await spool.append([release]);
  await spool.claim();
  for (const claim of spool.claims) for await (const { item } of spool.read(claim)) assert.deepEqual(item, release);
});

it("records that come while another is written share a sync", async () => {
  const spool = await Spool.open(path, LIMIT);
  const { mock: synced } = mock.method(disk, "datasync");
  const ids = Array.from({ length: 20 }, (_, index) => `id-${index}`);
  const first = spool.append([usage("first")]);
  // Now it is being written.
  await Promise.resolve();
  const counts = await Promise.all([first, ...ids.map(async (id) => spool.append([usage(id)]))]);
  assert.deepEqual(new Set(counts), new Set([1]));
  assert.ok([1, 2].includes(synced.callCount()), `${synced.callCount()} syncs`);
  assert.deepEqual(await left(spool), ["first", ...ids]);
});

it("a record that can't be synced is not kept, and leaves nothing behind", async () => {
  const spool = await Spool.open(path, LIMIT);
  await spool.append([usage("a")]);
  const [before, bytes] = [await readFile(path, "utf8"), spool.bytes];
  const { mock: synced } = mock.method(disk, "datasync", async () => Promise.reject(new Error("EIO")), { times: 1 });
  assert.equal(await spool.append([usage("b")]), 0);
  assert.equal(synced.callCount(), 1);
  assert.equal(await readFile(path, "utf8"), before);
  assert.equal(spool.bytes, bytes);
  assert.equal(await spool.append([usage("c")]), 1);
  assert.deepEqual(await left(spool), ["a", "c"]);
});

it("a record that can't be synced takes none with it that another process has kept since", async () => {
  const spool = await Spool.open(path, LIMIT);
  const other = await Spool.open(path, LIMIT);
  mock.method(disk, "datasync", async () => {
    await other.append([usage("b")]);
    throw new Error("EIO");
  }, { times: 1 });
  assert.equal(await spool.append([usage("a")]), 0);
  assert.deepEqual(await left(spool), ["a", "b"]);
});

it("a record for which the disk has no room is not kept, and leaves nothing behind", async () => {
  const spool = await Spool.open(path, LIMIT);
  await spool.append([usage("a")]);
  const before = await readFile(path, "utf8");
  const { mock: written } = mock.method(disk, "write", async (bytes: Buffer) => {
    written.mockImplementation(async () => Promise.reject(new Error("ENOSPC")));
    await appendFile(path, bytes.subarray(0, 10));
    return { bytesWritten: 10 };
  });
  assert.equal(await spool.append([usage("b")]), 0);
  assert.equal(written.callCount(), 2);
  written.restore();
  assert.equal(await readFile(path, "utf8"), before);
  assert.equal(await spool.append([usage("c")]), 1);
  assert.deepEqual(await left(spool), ["a", "c"]);
});
