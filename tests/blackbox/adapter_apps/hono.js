// A Hono app as anybody writes one; it knows nothing of Lambda.
"use strict";
const {Hono} = require("hono");
const {compress} = require("hono/compress");
const {getCookie} = require("hono/cookie");
const {gunzipSync} = require("node:zlib");
const answers = require("./answers");

const app = new Hono();
const headersOf = (c) => Object.fromEntries(c.req.raw.headers);
app.get("/packed", compress({encoding: "gzip"}), (c) => c.json(answers.large));
app.get("/query", (c) => c.json(c.req.queries()));
app.get("/cookies", (c) => {
  for (const cookie of answers.cookies) c.header("Set-Cookie", cookie, {append: true});
  return c.json(getCookie(c));
});
app.get("/cookie", (c) => c.text("one", 200, {"Set-Cookie": answers.cookies[1]}));
app.all("/seen", (c) => c.json(answers.seen(c.req.method, c.req.path, headersOf(c))));
app.post("/json", async (c) => c.json({json: await c.req.json()}));
app.post("/form", async (c) => c.json({form: await c.req.parseBody()}));
app.post("/upload", async (c) => {
  const fields = {}, files = [];
  for (const [name, value] of await c.req.formData()) {
    if (typeof value === "string") fields[name] = value;
    else files.push(answers.file(name, value.name, value.type, Buffer.from(await value.arrayBuffer())));
  }
  return c.json({fields, files});
});
app.post("/bytes", async (c) => {
  const body = Buffer.from(await c.req.arrayBuffer());
  return c.json(answers.sum(c.req.header("content-encoding") === "gzip" ? gunzipSync(body) : body));
});
app.get("/bytes/:size", (c) => c.body(answers.bytes(Number(c.req.param("size"))), 200, {"Content-Type": "application/octet-stream"}));
app.get("/text/:lines", (c) => c.text(answers.text(Number(c.req.param("lines")))));
app.get("/greet/:name", (c) => c.text(`grüße, ${c.req.param("name")}`));
app.get("/redirect", (c) => c.redirect("/elsewhere/%C3%BC?x=%20y&z=1"));
app.get("/empty", (c) => c.body(null, 204));
app.post("/made", (c) => c.json({id: 7}, 201, {"Location": "/made/7", "X-Custom": "a, b", "X-Number": "7"}));
app.get("/teapot", (c) => c.html("<p>I'm a teapot</p>", 418));
app.get("/tagged", (c) => {
  c.header("ETag", '"v1"');
  return c.req.header("if-none-match") === '"v1"' ? c.body(null, 304) : c.text("tagged");
});
app.get("/missing", (c) => c.json({missing: true}, 404));
app.get("/fail", () => { throw new Error("on purpose"); });
module.exports = app;
