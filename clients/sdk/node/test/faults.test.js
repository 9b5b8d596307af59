// Vendors at their worst: the SDKs get an error that they know, and the ledger what the table of settles says.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import * as house from "./house.js";
import { collect, MINI, PROMPT, script, SONNET } from "./house.js";

const patience = { maxRetries: 0, timeout: 60_000 };
const anthropic = new Anthropic({ apiKey: house.KEY, baseURL: house.GATEWAY, ...patience });
const openai = new OpenAI({ apiKey: house.KEY, baseURL: `${house.GATEWAY}/v1`, ...patience });
const chat = [{ role: "user", content: PROMPT }];

const APIS = {
  messages: {
    sdk: Anthropic,
    call: (headers, stream) =>
      anthropic.messages.create({ model: SONNET, max_tokens: 600, messages: chat, stream }, { headers }),
  },
  completions: {
    sdk: OpenAI,
    call: (headers, stream) =>
      openai.chat.completions.create({ model: MINI, max_tokens: 600, messages: chat, stream }, { headers }),
  },
  responses: {
    sdk: OpenAI,
    call: (headers, stream) =>
      openai.responses.create({ model: MINI, max_output_tokens: 600, input: PROMPT, stream }, { headers }),
  },
};

beforeEach(house.clearJournal);

/** Checks that the one call of this test was charged by an estimate, within what was held. */
async function estimated({ wholeHold = false } = {}) {
  const reservation = await house.settled((await house.onlyRequest()).id);
  assert.equal(reservation.state, "settled");
  assert.equal(reservation.actual.amount_estimated, true);
  assert.ok(reservation.cost > 0n && reservation.cost <= reservation.held, `${reservation.cost} of ${reservation.held}`);
  assert.ok(!wholeHold || reservation.cost === reservation.held, `${reservation.cost} of ${reservation.held}`);
  assert.equal(reservation.overrun, 0n);
}

const thrownBy = (work) =>
  work().then(
    () => assert.fail("no error"),
    (reason) => reason,
  );

for (const [api, { sdk, call }] of Object.entries(APIS)) {
  for (const stream of [false, true]) {
    for (const [name, status] of Object.entries({ timeout: 504, "header-bomb": 502 })) {
      test(`no answer is charged the hold: ${api}, ${name}, ${stream ? "streamed" : "plain"}`, async () => {
        const error = await thrownBy(() => call(script(name), stream));
        assert.ok(error instanceof sdk.APIError, String(error));
        assert.equal(error.status, status);
        assert.match(error.message, /upstream/);
        assert.ok(error.headers.get("x-request-id"));
        await estimated({ wholeHold: true });
      });
    }

    test(`garbage passes as it is and is charged by what was seen: ${api}, ${stream ? "streamed" : "plain"}`, async () => {
      try {
        const answer = await call(script("garbage"), stream);
        // What an SDK makes of it is its own affair, but no answer of a model.
        if (stream) assert.deepEqual(await collect(answer), []);
      } catch (error) {
        assert.ok(error instanceof SyntaxError || error instanceof sdk.APIError || error instanceof Error);
      }
      await estimated();
    });
  }

  for (const name of ["never-ends", "oversized", "cut-before-body"]) {
    test(`an answer without a sane end is left: ${api}, ${name}`, async () => {
      const error = await thrownBy(() => call(script(name), false));
      assert.ok(error instanceof sdk.APIError, String(error));
      assert.equal(error.status, 502);
      await estimated();
    });
  }

  test(`a stream without an end is charged by what was seen when its caller leaves: ${api}`, async () => {
    const stream = await call(script("never-ends"), true);
    let seen = 0;
    for await (const _ of stream) {
      if (++seen === 40) break;
    }
    assert.equal(seen, 40);
    await estimated();
  });

  test(`a stream that stops in the middle is ended: ${api}`, async () => {
    const error = await thrownBy(async () => collect(await call(script("hang-mid-stream"), true)));
    assert.ok(!(error instanceof sdk.APIConnectionTimeoutError), String(error));
    await estimated();
  });
}
