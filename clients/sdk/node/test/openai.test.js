// OpenAI's SDK through the gateway.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import OpenAI from "openai";

import * as house from "./house.js";
import { charged, collect, cost, EMBEDDING, GPT, MINI, PROMPT, script } from "./house.js";

const client = (apiKey = house.KEY, more = {}) => new OpenAI({ apiKey, baseURL: `${house.GATEWAY}/v1`, ...more });
const BODY = { model: MINI, max_tokens: 600, messages: [{ role: "user", content: PROMPT }] };
const TOOL = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather somewhere",
    parameters: { type: "object", properties: { location: { type: "string" } } },
  },
};

beforeEach(house.clearJournal);

test("a plain completion costs what its usage says", async () => {
  const { data, response } = await client().chat.completions.create(BODY).withResponse();
  assert.equal(data.usage.completion_tokens, 500);
  house.checkHeaders(response.headers, cost(MINI));
  await charged(cost(MINI));
});

test("a stream that asks for usage gets it", async () => {
  const body = { ...BODY, stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await client().chat.completions.create(body));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 500);
  await charged(cost(MINI));
});

test("a stream that does not ask gets none and is charged", async () => {
  const chunks = await collect(await client().chat.completions.create({ ...BODY, stream: true }));
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
  await charged(cost(MINI));
});

for (const asks of [true, false]) {
  test(`a stream has the bytes of the vendor, ${asks ? "" : "not "}asking for usage`, async () => {
    const body = { ...BODY, stream: true, ...(asks && { stream_options: { include_usage: true } }) };
    const ask = (base, key) => {
      const headers = { ...script("trickle", { seed: 7 }), authorization: `Bearer ${key}` };
      return house.raw(base, "/v1/chat/completions", body, headers);
    };
    const direct = await ask(house.UPSTREAM, house.UPSTREAM_KEY);
    await house.clearJournal();
    const through = await ask(house.GATEWAY, house.KEY);
    // A vendor that was asked by the gateway says in each chunk that there is no usage yet.
    if (!asks) through.text = through.text.replaceAll(',"usage":null', "");
    assert.deepEqual(through, direct);
    await charged(cost(MINI));
  });
}

for (const stream of [false, true]) {
  const kind = stream ? "streamed" : "plain";

  test(`tools, ${kind}`, async () => {
    const answer = await client().chat.completions.create({ ...BODY, tools: [TOOL], stream });
    const calls = stream
      ? (await collect(answer)).map((chunk) => chunk.choices[0].delta.tool_calls?.[0])
      : [answer.choices[0].message.tool_calls[0]];
    const text = calls.map((call) => call?.function.arguments ?? "").join("");
    assert.equal(text, '{"location":"Oslo, Norway","unit":"celsius"}');
    await charged(cost(MINI));
  });

  test(`cached tokens are part of the prompt, ${kind}`, async () => {
    const headers = script("plain", { input: 1000, "cache-read": 600, reasoning: 200 });
    const answer = await client().chat.completions.create({ ...BODY, stream }, { headers });
    if (stream) await collect(answer);
    await charged(cost(MINI, { input: 400, cacheRead: 600 }));
  });
}

test("vision", async () => {
  const content = [
    { type: "image_url", image_url: { url: `data:image/png;base64,${house.PICTURE}` } },
    { type: "text", text: PROMPT },
  ];
  await client().chat.completions.create({ ...BODY, model: GPT, messages: [{ role: "user", content }] });
  await charged(cost(GPT));
});

test("several choices are held and charged", async () => {
  const headers = script("plain", { output: 1500 });
  const answer = await client().chat.completions.create({ ...BODY, max_tokens: 1500, n: 3 }, { headers });
  assert.equal(answer.choices.length, 3);
  const { held } = await charged(cost(MINI, { output: 1500 }));
  assert.ok(held >= cost(MINI, { input: 0, output: 4500 }));
});

const RESPONSE = { model: MINI, input: PROMPT, max_output_tokens: 600 };

test("a response costs what its usage says", async () => {
  const headers = script("plain", { "cache-read": 100 });
  const { data, response } = await client().responses.create(RESPONSE, { headers }).withResponse();
  assert.match(data.output_text, /^Twelve degrees/);
  const expected = cost(MINI, { input: 900, cacheRead: 100 });
  house.checkHeaders(response.headers, expected);
  await charged(expected);
});

for (const [name, last] of [
  ["plain", "completed"],
  ["incomplete", "incomplete"],
  ["failed", "failed"],
]) {
  test(`a streamed response is charged however it ends: ${last}`, async () => {
    const answer = await client().responses.create({ ...RESPONSE, stream: true }, { headers: script(name) });
    const events = await collect(answer);
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, `response.${last}`);
    await charged(cost(MINI));
  });
}

test("embeddings", async () => {
  const headers = script("plain", { input: 1100 });
  const body = { model: EMBEDDING, input: [PROMPT, "and this"] };
  const { data } = await client().embeddings.create(body, { headers });
  assert.deepEqual(
    data.map(({ embedding }) => [...embedding]),
    [[0.5, -0.25, 0.125], [0.5, -0.25, 0.125]],
  );
  await charged(cost(EMBEDDING, { input: 1100, output: 0 }));
});

test("models are listed", async () => {
  const models = await collect(client().models.list());
  assert.ok(models.some((model) => model.id === MINI));
});

for (const status of [400, 401, 404, 413, 429, 500]) {
  test(`an error of the vendor costs nothing: ${status}`, async () => {
    const headers = script(`error-${status}`);
    const call = client(house.KEY, { maxRetries: 0 }).chat.completions.create(BODY, { headers });
    await assert.rejects(call, (error) => error.status === status);
    assert.equal((await house.settled((await house.journal())[0].id)).state, "released");
  });
}

test("who hangs up pays for the real usage", async () => {
  const headers = script("plain", { "pace-ms": 20, pieces: 30 });
  const stream = await client().chat.completions.create({ ...BODY, stream: true }, { headers });
  for await (const chunk of stream) {
    if (chunk.choices.length) break;
  }
  stream.controller.abort();
  await charged(cost(MINI));
});

for (const [api, call] of [
  ["chat", (poor) => poor.chat.completions.create(BODY)],
  ["responses", (poor) => poor.responses.create(RESPONSE)],
  ["embeddings", (poor) => poor.embeddings.create({ model: EMBEDDING, input: Array(20).fill(PROMPT) })],
]) {
  test(`a budget refusal is not retried: ${api}`, async () => {
    const thrown = await house.refused(OpenAI.RateLimitError, () => call(client(house.POOR_KEY)));
    assert.equal(thrown.type, "insufficient_quota");
    assert.ok(thrown.code);
  });
}

test("what cannot be metered is refused", async () => {
  await assert.rejects(
    client().images.generate({ model: "gpt-image-1", prompt: "a cat" }),
    (error) => error.status === 404,
  );
  assert.deepEqual(await house.journal(), []);
});
