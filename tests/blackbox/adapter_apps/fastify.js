// A Fastify app as anybody writes one; it knows nothing of Lambda.
"use strict";
const answers = require("./answers");
const {gunzipSync} = require("node:zlib");

module.exports = () => {
  const app = require("fastify")({bodyLimit: 10 << 20});
  app.register(require("@fastify/cookie"));
  app.register(require("@fastify/formbody"));
  app.register(require("@fastify/multipart"));
  app.register(require("@fastify/compress"), {global: false, threshold: 0, encodings: ["gzip"]});
  app.register(async (routes) => {
    routes.get("/packed", (request, reply) => reply.type("application/json; charset=utf-8").compress(JSON.stringify(answers.large)));
    routes.get("/query", async (request) => answers.lists(request.query));
    routes.get("/cookies", (request, reply) => reply.header("Set-Cookie", answers.cookies).send(request.cookies));
    routes.get("/cookie", (request, reply) => reply.header("Set-Cookie", answers.cookies[1]).send("one"));
    routes.all("/seen", async (request) => answers.seen(request.method, request.url.split("?")[0], request.headers));
    routes.post("/json", async (request) => ({json: request.body}));
    routes.post("/form", async (request) => ({form: {...request.body}}));
    routes.post("/upload", async (request) => {
      const fields = {}, files = [];
      for await (const part of request.parts()) {
        if (part.type === "file") files.push(answers.file(part.fieldname, part.filename, part.mimetype, await part.toBuffer()));
        else fields[part.fieldname] = part.value;
      }
      return {fields, files};
    });
    routes.register(async (raw) => {
      raw.removeAllContentTypeParsers();
      raw.addContentTypeParser("*", {parseAs: "buffer"}, (request, body, done) => done(null, body));
      raw.post("/bytes", async (request) =>
        answers.sum(request.headers["content-encoding"] === "gzip" ? gunzipSync(request.body) : request.body));
    });
    routes.get("/bytes/:size", (request, reply) => reply.type("application/octet-stream").send(answers.bytes(Number(request.params.size))));
    routes.get("/text/:lines", (request, reply) => reply.type("text/plain; charset=utf-8").send(answers.text(Number(request.params.lines))));
    routes.get("/greet/:name", (request, reply) => reply.type("text/plain; charset=utf-8").send(`grüße, ${request.params.name}`));
    routes.get("/redirect", (request, reply) => reply.redirect("/elsewhere/%C3%BC?x=%20y&z=1"));
    routes.get("/empty", (request, reply) => reply.code(204).send());
    routes.post("/made", (request, reply) => reply.code(201).headers({"Location": "/made/7", "X-Custom": "a, b", "X-Number": "7"}).send({id: 7}));
    routes.get("/teapot", (request, reply) => reply.code(418).type("text/html; charset=utf-8").send("<p>I'm a teapot</p>"));
    routes.get("/tagged", (request, reply) => {
      reply.header("ETag", '"v1"');
      if (request.headers["if-none-match"] === '"v1"') return reply.code(304).send();
      return reply.send("tagged");
    });
    routes.get("/missing", (request, reply) => reply.code(404).send({missing: true}));
    routes.get("/fail", async () => { throw new Error("on purpose"); });
  });
  return app;
};
