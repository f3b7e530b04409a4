// The Lambda function: each adapter around its app; the header x-adapter says which one a request is for.
"use strict";
process.env.NODE_ENV = "production";
const binary = ["application/octet-stream"];
const makers = {
  "serverless-http": () => require("serverless-http")(require("./express"), {binary}),
  "serverless-express": () => require("@codegenie/serverless-express")({app: require("./express"), binarySettings: {contentTypes: binary}}),
  "fastify": () => require("@fastify/aws-lambda")(require("./fastify")(), {binaryMimeTypes: binary}),
  "hono": () => require("hono/aws-lambda").handle(require("./hono")),
  "middy": async () => (await import("./middy.mjs")).handler,
};
const handlers = {};

exports.handler = async (event, context) => {
  const headers = event.headers ?? event.multiValueHeaders;
  const name = [].concat(headers[Object.keys(headers).find((key) => key.toLowerCase() === "x-adapter")])[0];
  if (!name) return {statusCode: 200, body: "nobody was asked for"}; // a probe
  handlers[name] ??= await makers[name]();
  return handlers[name](event, context);
};
