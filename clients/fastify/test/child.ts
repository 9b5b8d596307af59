/** An application in a process of its own, for tests that end it. */

import { app, post } from "./harness.js";

const [, , baseUrl = "", spoolPath = ""] = process.argv;
const fastify = await app({ baseUrl, spoolPath });

async function answer(order: { tenant?: string; count?: number }): Promise<void> {
  for (let count = 0; count < (order.count ?? 0); count += 1) await post(fastify, order.tenant);
  if (order.count !== undefined) await fastify.aiBudget.flush();
  process.send?.(fastify.aiBudget.stats());
}

process.on("message", (order: { tenant?: string; count?: number }) => {
  answer(order).catch(() => process.exit(1));
});
process.once("SIGTERM", () => {
  fastify.close().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
process.send?.("ready");
