// Anthropic's SDK through the gateway.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import * as house from "./house.js";
import { charged, collect, cost, PROMPT, script, SONNET } from "./house.js";

const client = (apiKey = house.KEY, more = {}) => new Anthropic({ apiKey, baseURL: house.GATEWAY, ...more });
const BODY = { model: SONNET, max_tokens: 600, messages: [{ role: "user", content: PROMPT }] };
const TOOL = {
  name: "weather",
  description: "The weather somewhere",
  input_schema: { type: "object", properties: { location: { type: "string" } } },
};

beforeEach(house.clearJournal);

test("a plain message costs what its usage says", async () => {
  const { data, response } = await client().messages.create(BODY).withResponse();
  assert.equal(data.usage.output_tokens, 500);
  house.checkHeaders(response.headers, cost(SONNET));
  await charged(cost(SONNET));
});

test("the usage report grows by exactly the cost", async () => {
  const before = await house.spent();
  await client().messages.create(BODY, { headers: script("plain", { input: 777, output: 333 }) });
  await house.settled((await house.onlyRequest()).id);
  assert.equal((await house.spent()) - before, cost(SONNET, { input: 777, output: 333 }));
});

test("a stream costs what its usage says", async () => {
  const events = await collect(await client().messages.create({ ...BODY, stream: true }));
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
  await charged(cost(SONNET));
});

test("the stream helper ends in the whole message", async () => {
  const message = await client().messages.stream(BODY).finalMessage();
  assert.match(message.content[0].text, /^Twelve degrees/);
  assert.equal(message.usage.output_tokens, 500);
  await charged(cost(SONNET));
});

for (const name of ["plain", "trickle"]) {
  test(`a stream has the bytes of the vendor: ${name}`, async () => {
    const headers = { "anthropic-version": "2023-06-01", ...script(name, { seed: 7 }) };
    const body = { ...BODY, stream: true };
    const ask = (base, key) => house.raw(base, "/v1/messages", body, { ...headers, "x-api-key": key });
    const direct = await ask(house.UPSTREAM, house.UPSTREAM_KEY);
    await house.clearJournal();
    assert.deepEqual(await ask(house.GATEWAY, house.KEY), direct);
    await charged(cost(SONNET));
  });
}

for (const stream of [false, true]) {
  const kind = stream ? "streamed" : "plain";

  test(`tools, ${kind}`, async () => {
    const body = { ...BODY, tools: [TOOL] };
    const message = stream
      ? await client().messages.stream(body).finalMessage()
      : await client().messages.create(body);
    assert.equal(message.stop_reason, "tool_use");
    assert.deepEqual(message.content[1].input, { location: "Oslo, Norway", unit: "celsius" });
    await charged(cost(SONNET));
  });

  test(`each class of a cached prompt has its own price, ${kind}`, async () => {
    const system = [
      { type: "text", text: PROMPT, cache_control: { type: "ephemeral", ttl: "1h" } },
      { type: "text", text: PROMPT, cache_control: { type: "ephemeral" } },
    ];
    const numbers = { input: 100, "cache-read": 1000, "cache-write-5m": 700, "cache-write-1h": 300 };
    const headers = script("plain", numbers);
    const answer = await client().messages.create({ ...BODY, system, stream }, { headers });
    if (stream) await collect(answer);
    else assert.equal(answer.usage.cache_creation.ephemeral_1h_input_tokens, 300);
    await charged(cost(SONNET, { input: 100, cacheRead: 1000, write5m: 700, write1h: 300 }));
  });

  test(`thinking, ${kind}`, async () => {
    const body = { ...BODY, max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 1024 } };
    const headers = script("plain", { output: 1500 });
    const message = stream
      ? await client().messages.stream(body, { headers }).finalMessage()
      : await client().messages.create(body, { headers });
    assert.equal(message.content[0].type, "thinking");
    await charged(cost(SONNET, { output: 1500 }));
  });

  test(`searches of the vendor have a fee, ${kind}`, async () => {
    const tools = [{ type: "web_search_20250305", name: "web_search", max_uses: 3 }];
    const headers = script("plain", { searches: 2 });
    const answer = await client().messages.create({ ...BODY, tools, stream }, { headers });
    if (stream) await collect(answer);
    await charged(cost(SONNET, { searches: 2 }));
  });

  test(`a budget refusal is not retried, ${kind}`, async () => {
    const call = () => client(house.POOR_KEY).messages.create({ ...BODY, stream });
    const thrown = await house.refused(Anthropic.RateLimitError, call);
    assert.equal(thrown.error.type, "error");
    assert.equal(thrown.error.error.type, "rate_limit_error");
  });
}

test("vision", async () => {
  const source = { type: "base64", media_type: "image/png", data: house.PICTURE };
  const content = [
    { type: "image", source },
    { type: "text", text: PROMPT },
  ];
  await client().messages.create({ ...BODY, messages: [{ role: "user", content }] });
  await charged(cost(SONNET));
});

test("counting tokens is free", async () => {
  const before = await house.spent();
  const { model, messages } = BODY;
  assert.equal((await client().messages.countTokens({ model, messages })).input_tokens, 1000);
  assert.equal((await house.onlyRequest()).usage, null);
  assert.equal(await house.spent(), before);
});

test("models are listed", async () => {
  const models = await collect(client().models.list());
  assert.ok(models.some((model) => model.id === SONNET));
});

test("a batch is charged by its results, at half the price", async () => {
  const before = await house.spent();
  const { batches } = client().messages;
  const requests = ["first", "second", "expired-third"].map((custom_id) => ({ custom_id, params: BODY }));
  const batch = await batches.create({ requests });
  const until = Date.now() + 30_000;
  while ((await batches.retrieve(batch.id)).processing_status !== "ended") assert.ok(Date.now() < until);
  const results = await collect(await batches.results(batch.id));
  assert.deepEqual(
    results.map(({ result }) => result.type),
    ["succeeded", "succeeded", "expired"],
  );
  while ((await house.spent()) - before !== cost(SONNET)) {
    assert.ok(Date.now() < until, String((await house.spent()) - before));
    await house.pause(50);
  }
});

for (const status of [400, 401, 404, 413, 429, 500, 529]) {
  test(`an error of the vendor costs nothing: ${status}`, async () => {
    const headers = script(`error-${status}`);
    const call = client(house.KEY, { maxRetries: 0 }).messages.create(BODY, { headers });
    await assert.rejects(call, (error) => error.status === status && error.error.type === "error");
    assert.equal((await house.settled((await house.journal())[0].id)).state, "released");
  });
}

test("who hangs up pays for the real usage", async () => {
  const headers = script("plain", { "pace-ms": 20, pieces: 30 });
  const stream = await client().messages.create({ ...BODY, stream: true }, { headers });
  for await (const event of stream) {
    if (event.type === "content_block_delta") break;
  }
  stream.controller.abort();
  await charged(cost(SONNET));
});

test("a stream that breaks off is charged by what was seen", async () => {
  const headers = script("cut-mid-stream");
  const stream = await client().messages.create({ ...BODY, stream: true }, { headers });
  await assert.rejects(collect(stream));
  const reservation = await house.settled((await house.onlyRequest()).id);
  assert.equal(reservation.state, "settled");
  assert.ok(reservation.actual.amount_estimated);
  assert.ok(reservation.cost >= cost(SONNET, { output: 0 }) && reservation.cost <= cost(SONNET));
});

test("a budget that runs low warns", async () => {
  const headers = script("plain", { input: 2400, output: 600 });
  const { response } = await client(house.NEAR_KEY).messages.create(BODY, { headers }).withResponse();
  // $0.0162 of $0.02.
  assert.equal(response.headers.get("x-ai-budget-warning"), "true");
  assert.equal(Number(response.headers.get("x-ai-budget-usage")), 81);
});

test("a trusted network may name its tenant", async () => {
  const headers = { "x-tenant-id": house.TENANT, "x-user-id": "ada" };
  await client("any-text").messages.create(BODY, { headers });
  assert.equal((await charged(cost(SONNET))).user_id, "ada");
});
