// The same apps served by Node itself; prints their ports as one line of JSON, and ends with its standard input.
"use strict";
process.env.NODE_ENV = "production";
const host = "127.0.0.1";

async function main() {
  const express = require("./express").listen(0, host);
  await new Promise((resolve) => express.once("listening", resolve));
  const fastify = require("./fastify")();
  await fastify.listen({port: 0, host});
  const hono = await new Promise((resolve) => {
    const server = require("@hono/node-server").serve({fetch: require("./hono").fetch, port: 0, hostname: host}, () => resolve(server));
  });
  console.log(JSON.stringify({express: express.address().port, fastify: fastify.server.address().port, hono: hono.address().port}));
}
process.stdin.resume().on("end", () => process.exit(0));
main();
