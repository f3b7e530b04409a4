// What the apps answer with, alike in each framework: bytes and texts of a known content, and what they saw of a body.
"use strict";
const {createHash} = require("node:crypto");

exports.bytes = (size) => {
  const out = Buffer.alloc(size);
  for (let i = 0, n = 1; i < size; i++) out[i] = (n = (n * 75 + 74) % 65537) & 255;
  return out;
};
exports.text = (lines) => "grüße, €uro\n".repeat(lines);
exports.sum = (data) => ({size: data.length, sha256: createHash("sha256").update(data).digest("hex")});
exports.file = (name, filename, type, data) => ({name, filename, type, ...exports.sum(data)});
exports.lists = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [].concat(value)]));
exports.cookies = ["session=a%20b; Path=/; HttpOnly; SameSite=Lax", "theme=dark; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT"];
exports.large = {items: Array.from({length: 500}, (_, n) => ({n, name: `item ${n}`, price: n * 1.5}))};
exports.seen = (method, path, headers) => ({method, path, accept: headers.accept, custom: headers["x-custom"], agent: headers["user-agent"],
  authorization: headers.authorization, repeated: headers["x-repeated"]?.split(/, */), type: headers["content-type"]});
