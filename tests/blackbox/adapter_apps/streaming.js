// The same Hono app as a streaming function.
"use strict";
process.env.NODE_ENV = "production";
exports.hono = require("hono/aws-lambda").streamHandle(require("./hono"));
