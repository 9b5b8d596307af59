/** What callers are answered when their request goes no further. Amounts are written as the service sent them. */

import type { FastifyReply } from "fastify";

import type { Refusal, Standing } from "./client.js";

const JSON_TYPE = "application/json; charset=utf-8";

/** The request lacks something, or something in it is wrong. */
export function badRequest(reply: FastifyReply, code: string, message: string, field?: string): FastifyReply {
  const body = { error: "Bad Request", message, code, ...(field === undefined ? {} : { field }) };
  return reply.code(400).type(JSON_TYPE).send(JSON.stringify(body));
}

/** The request names a tenant that it may not spend for, in the service's words. */
export function forbidden(reply: FastifyReply, code: string, message: string): FastifyReply {
  return reply.code(403).type(JSON_TYPE).send(JSON.stringify({ error: "Forbidden", message, code }));
}

/** Nobody knows whether the budget covers the request, and without knowing it is not made. */
export function unavailable(reply: FastifyReply, retryAfterSeconds: number): FastifyReply {
  const body = {
    error: "AI Budget Unavailable",
    message: "the AI budget can't be checked at the moment; try again soon",
    code: "budget_unavailable",
  };
  return reply.code(503).header("retry-after", retryAfterSeconds).type(JSON_TYPE).send(JSON.stringify(body));
}

/** The budget does not cover the request. */
export function refused(
  reply: FastifyReply,
  refusal: Refusal,
  fallback: { readonly suggestion: string; readonly contact: string },
): FastifyReply {
  const body =
    `{"error":"AI Budget Exceeded","message":${JSON.stringify(refusal.message)}` +
    `,"current_usage_usd":${refusal.currentUsageUsd},"monthly_limit_usd":${refusal.monthlyLimitUsd}` +
    `,"percentage_used":${refusal.percentageUsed}` +
    `,"fallback":${JSON.stringify({ suggestion: fallback.suggestion, contact: fallback.contact })}}`;
  return reply
    .code(429)
    .header("retry-after", refusal.retryAfterSeconds)
    .header("x-should-retry", "false")
    .type(JSON_TYPE)
    .send(body);
}

/** Tells the caller from a percentage on. */
export function warn(reply: FastifyReply, standing: Standing, percent: number): void {
  if (Number(standing.percentageUsed) < percent) return;
  reply.header("X-AI-Budget-Warning", "true").header("X-AI-Budget-Usage", standing.percentageUsed);
}
