/** What a request is expected to use, read from the body that it would send to a model's vendor. */

import type { FastifyRequest } from "fastify";

import { isObject } from "./json.js";
import type { Estimate, EstimateDefaults } from "./options.js";

/** English text has about four bytes a token; three leave room for other languages and for code. */
const BYTES_PER_TOKEN = 3;

/**
 * The model is the body's `model`, else the default one. Input tokens are a third of the body's bytes, rounded up.
 * Output tokens are the body's `max_tokens`, `max_completion_tokens` or `max_output_tokens`, whichever comes first,
 * else the default of 4096; times the body's `n`, where it asks for several answers.
 */
export function defaultEstimate(request: FastifyRequest, defaults: EstimateDefaults): Estimate | undefined {
  const body: unknown = request.body;
  const members = isObject(body) ? body : {};
  const model = typeof members["model"] === "string" ? members["model"] : defaults.model;
  if (model === undefined) return undefined;
  const bound = members["max_tokens"] ?? members["max_completion_tokens"] ?? members["max_output_tokens"];
  const bounded = bound ?? defaults.outputTokens;
  const answers = members["n"] ?? 1;
  // What is no number becomes NaN, and that is answered 400.
  const output = typeof bounded === "number" ? bounded : Number.NaN;
  const times = typeof answers === "number" ? answers : Number.NaN;
  return { model, inputTokens: Math.ceil(bytes(request, body) / BYTES_PER_TOKEN), outputTokens: output * times };
}

function bytes(request: FastifyRequest, body: unknown): number {
  const length = Number(request.headers["content-length"]);
  if (Number.isSafeInteger(length) && length > 0) return length;
  if (body === undefined || body === null) return 0;
  if (typeof body === "string" || Buffer.isBuffer(body)) return Buffer.byteLength(body);
  return isObject(body) || Array.isArray(body) ? Buffer.byteLength(JSON.stringify(body)) : 0;
}
