// The gateway, the upstream behind it, and the ledger, as the tests see them.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

const set = (name) => {
  const value = process.env[`BURSAR_SDK_${name}`];
  assert.ok(value, `BURSAR_SDK_${name} is not set: run \`cargo xtask sdk\``);
  return value;
};

export const GATEWAY = set("GATEWAY");
export const UPSTREAM = set("UPSTREAM");
export const TENANT = set("TENANT");
export const KEY = set("KEY");
export const POOR_KEY = set("POOR_KEY");
export const NEAR_KEY = set("NEAR_KEY");
export const UPSTREAM_KEY = "upstream-key";
const ADMIN = { authorization: `Bearer ${set("ADMIN_TOKEN")}` };

export const SONNET = "claude-sonnet-4-5-20250929";
export const MINI = "gpt-4o-mini-2024-07-18";
export const GPT = "gpt-4o-2024-08-06";
export const EMBEDDING = "text-embedding-3-small";

// Nano-dollars per token, from the vendors' price lists; they are not read from the repository's. Half a nano-dollar is
// where a price has three decimals per million, so all are doubled and `cost` halves the sum.
const PRICES = {
  [SONNET]: { input: 6000n, output: 30000n, cacheRead: 600n, write5m: 7500n, write1h: 12000n },
  [GPT]: { input: 5000n, output: 20000n, cacheRead: 2500n },
  [MINI]: { input: 300n, output: 1200n, cacheRead: 150n },
  [EMBEDDING]: { input: 40n, output: 0n },
};
const WEB_SEARCH = 10_000_000n;

// Well above the 1,000 tokens that the upstream reports, so that no call costs more than was held for it.
export const PROMPT = "The weather in Oslo, by the hour and for the whole of next week, please. ".repeat(90);

// One pixel.
export const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** Nano-dollars that a call costs, exactly; `input` leaves out what was read from a cache. */
export function cost(model, used = {}) {
  const { input = 1000, output = 500, cacheRead = 0, write5m = 0, write1h = 0, searches = 0 } = used;
  const price = PRICES[model];
  const of = (count, each = 0n) => BigInt(count) * each;
  const doubled =
    of(input, price.input) +
    of(output, price.output) +
    of(cacheRead, price.cacheRead) +
    of(write5m, price.write5m) +
    of(write1h, price.write1h);
  assert.equal(doubled % 2n, 0n, "the tests use whole nano-dollars");
  return doubled / 2n + of(searches, WEB_SEARCH);
}

/** Nano-dollars of a decimal text. */
export function nano(text) {
  const [whole, fraction = ""] = String(text).split(".");
  assert.match(whole, /^\d+$/, `not an amount: ${text}`);
  assert.ok(fraction.length <= 9, `more than nine decimals: ${text}`);
  return BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** What a script and its numbers are as headers. */
export function script(name = "plain", numbers = {}) {
  const headers = { "x-script": name };
  for (const [key, value] of Object.entries(numbers)) {
    headers[`x-script-${key}`] = String(value);
  }
  return headers;
}

async function admin(path) {
  const answer = await fetch(GATEWAY + path, { headers: ADMIN });
  assert.equal(answer.status, 200, path);
  return answer.text();
}

export async function journal() {
  const told = await (await fetch(`${UPSTREAM}/journal`)).json();
  assert.deepEqual(told.refused, [], "something has leaked to the vendor");
  return told.requests;
}

export async function clearJournal() {
  await fetch(`${UPSTREAM}/journal`, { method: "DELETE" });
}

/** What the upstream has served in this test, which must be one request. */
export async function onlyRequest() {
  const requests = await journal();
  assert.equal(requests.length, 1, JSON.stringify(requests));
  return requests[0];
}

/** The ledger's word on a call, once it is not held any more; amounts in nano-dollars. */
export async function settled(id) {
  const until = Date.now() + 10_000;
  for (;;) {
    const text = await admin(`/api/v1/reservations/${id}`);
    const reservation = JSON.parse(text);
    if (reservation.state !== "held") {
      // From the text: a number of JavaScript's would have lost digits.
      const amount = (name) => nano(new RegExp(`"${name}":([0-9.]+)`).exec(text)?.[1] ?? "0");
      return { ...reservation, cost: amount("cost_usd"), held: amount("held_usd"), overrun: amount("overrun_usd") };
    }
    assert.ok(Date.now() < until, text);
    await pause(20);
  }
}

/** Checks that the one call of this test was charged so, exactly, and no more than was held. */
export async function charged(expected) {
  const reservation = await settled((await onlyRequest()).id);
  assert.equal(reservation.state, "settled");
  assert.equal(reservation.cost, expected);
  assert.equal(reservation.overrun, 0n);
  assert.equal(reservation.actual.amount_estimated, false);
  assert.equal(reservation.tenant_id, TENANT);
  assert.ok(reservation.held >= expected);
  return reservation;
}

/** Nano-dollars that the tenant has spent so far, by the usage report. */
export async function spent() {
  const text = await admin(`/api/v1/usage?tenant_id=${TENANT}`);
  const rows = [...text.matchAll(/"cost_usd":([0-9.]+)/g)];
  return rows.reduce((sum, [, amount]) => sum + nano(amount), 0n);
}

/** Calls that the gateway has refused for a budget. */
export async function refusals() {
  const metrics = await admin("/metrics");
  const line = /^bursar_gateway_refused_total\{reason="budget_exceeded"\} (\d+)$/m.exec(metrics);
  return Number(line?.[1] ?? 0);
}

export function checkHeaders(headers, expected) {
  assert.equal(nano(headers.get("x-bursar-cost-usd")), expected);
  assert.ok(nano(headers.get("x-bursar-budget-remaining-usd")) > 0n);
  assert.match(headers.get("x-bursar-budget-reset"), /Z$/);
  assert.ok(headers.get("x-request-id"));
  assert.ok(!JSON.stringify([...headers]).includes(UPSTREAM_KEY));
}

/** Checks that `call` is refused by its budget at once, and that its SDK does not ask again. */
export async function refused(error, call) {
  const before = await refusals();
  const started = Date.now();
  const thrown = await call().then(
    () => assert.fail("the call was let through"),
    (reason) => reason,
  );
  assert.ok(thrown instanceof error, String(thrown));
  assert.ok(Date.now() - started < 1500);
  assert.deepEqual(await journal(), []);
  assert.equal(await refusals(), before + 1);
  assert.equal(thrown.headers.get("x-should-retry"), "false");
  assert.ok(Number(thrown.headers.get("retry-after")) > 0);
  return thrown;
}

/** The bytes of an answer, asked for without any SDK. */
export async function raw(base, path, body, headers) {
  const all = { "content-type": "application/json", ...headers };
  const answer = await fetch(base + path, { method: "POST", body: JSON.stringify(body), headers: all });
  return { status: answer.status, text: await answer.text() };
}

export async function collect(stream) {
  const all = [];
  for await (const each of stream) all.push(each);
  return all;
}

export { pause };
