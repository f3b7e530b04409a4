// An Express app as anybody writes one; it knows nothing of Lambda.
"use strict";
const express = require("express");
const compression = require("compression");
const cookieParser = require("cookie-parser");
const multer = require("multer");
const answers = require("./answers");

const app = express();
app.use(cookieParser());
app.get("/packed", compression({threshold: 0}), (req, res) => res.json(answers.large));
app.get("/query", (req, res) => res.json(answers.lists(req.query)));
app.get("/cookies", (req, res) => {
  for (const cookie of answers.cookies) res.append("Set-Cookie", cookie);
  res.json(req.cookies);
});
app.get("/cookie", (req, res) => res.append("Set-Cookie", answers.cookies[1]).send("one"));
app.all("/seen", (req, res) => res.json(answers.seen(req.method, req.path, req.headers)));
app.post("/json", express.json({limit: "10mb"}), (req, res) => res.json({json: req.body}));
app.post("/form", express.urlencoded({extended: false}), (req, res) => res.json({form: {...req.body}}));
app.post("/upload", multer().any(), (req, res) => res.json({fields: {...req.body},
  files: req.files.map((file) => answers.file(file.fieldname, file.originalname, file.mimetype, file.buffer))}));
app.post("/bytes", express.raw({type: () => true, limit: "10mb", inflate: true}), (req, res) => res.json(answers.sum(req.body)));
app.get("/bytes/:size", (req, res) => res.type("application/octet-stream").send(answers.bytes(Number(req.params.size))));
app.get("/text/:lines", (req, res) => res.type("text/plain").send(answers.text(Number(req.params.lines))));
app.get("/greet/:name", (req, res) => res.type("text/plain").send(`grüße, ${req.params.name}`));
app.get("/redirect", (req, res) => res.redirect("/elsewhere/%C3%BC?x=%20y&z=1"));
app.get("/empty", (req, res) => res.status(204).end());
app.post("/made", (req, res) => res.status(201).set({"Location": "/made/7", "X-Custom": "a, b", "X-Number": "7"}).json({id: 7}));
app.get("/teapot", (req, res) => res.status(418).type("text/html").send("<p>I'm a teapot</p>"));
app.get("/tagged", (req, res) => {
  res.set("ETag", '"v1"');
  if (req.headers["if-none-match"] === '"v1"') return res.status(304).end();
  res.send("tagged");
});
app.get("/missing", (req, res) => res.status(404).json({missing: true}));
app.get("/fail", () => { throw new Error("on purpose"); });
module.exports = app;
