// A Middy app: plain Lambda handlers behind Middy's router and body parsers, for events of each format.
import middy from "@middy/core";
import httpErrorHandler from "@middy/http-error-handler";
import httpHeaderNormalizer from "@middy/http-header-normalizer";
import httpJsonBodyParser from "@middy/http-json-body-parser";
import httpMultipartBodyParser from "@middy/http-multipart-body-parser";
import httpRouter from "@middy/http-router";
import httpUrlencodeBodyParser from "@middy/http-urlencode-body-parser";
import {unescape} from "node:querystring"; // which takes %zz as it is
import {gunzipSync, gzipSync} from "node:zlib";
import answers from "./answers.js";

const isAlb = (event) => Boolean(event.requestContext.elb);
// All values of a header where the format has them; names as HTTP means them, in any case.
const headersOf = (event) => Object.fromEntries(Object.entries(event.multiValueHeaders ?? event.headers)
  .map(([name, value]) => [name.toLowerCase(), [].concat(value).join(", ")]));
const body = (event) => Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8");
const json = (value, more = {}) => ({statusCode: 200, body: JSON.stringify(value), ...more,
  headers: {"content-type": "application/json; charset=utf-8", ...more.headers}});
const text = (value, type = "text/plain", statusCode = 200) => ({statusCode, body: value, headers: {"content-type": `${type}; charset=utf-8`}});

// The balancer's queries are not decoded.
function query(event) {
  if (event.version === "2.0") {
    const parameters = new URLSearchParams(event.rawQueryString);
    return Object.fromEntries([...parameters.keys()].map((name) => [name, parameters.getAll(name)]));
  }
  const decode = isAlb(event) ? (value) => unescape(value.replace(/\+/g, " ")) : (value) => value;
  const all = answers.lists(event.multiValueQueryStringParameters ?? event.queryStringParameters ?? {});
  return Object.fromEntries(Object.entries(all).map(([name, values]) => [decode(name), values.map(decode)]));
}

function cookies(event) {
  const given = event.cookies ?? (headersOf(event).cookie ?? "").split(/; */);
  return Object.fromEntries(given.filter(Boolean).map((pair) => [pair.split("=")[0], decodeURIComponent(pair.slice(pair.indexOf("=") + 1))]));
}

function withCookies(event, answer, given) {
  if (event.version === "2.0") return {...answer, cookies: given};
  if (!event.multiValueHeaders) return {...answer, headers: {...answer.headers, "set-cookie": given[0], "Set-Cookie": given[1]}};
  const all = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, [value]]));
  return {...answer, headers: undefined, multiValueHeaders: {...all, "set-cookie": given}};
}

const parsed = (parser, handler) => middy().use(parser).handler(handler);
const files = (given) => [].concat(given ?? []);
const routes = [
  ["GET", "/packed", async (event) => ({statusCode: 200, isBase64Encoded: true, body: gzipSync(JSON.stringify(answers.large)).toString("base64"),
    headers: {"content-type": "application/json; charset=utf-8", "content-encoding": "gzip", "vary": "Accept-Encoding"}})],
  ["GET", "/query", async (event) => json(query(event))],
  ["HEAD", "/query", async () => ({statusCode: 200, headers: {"content-type": "application/json; charset=utf-8"}})],
  ["GET", "/cookies", async (event) => withCookies(event, json(cookies(event)), answers.cookies)],
  ["GET", "/cookie", async (event) => ({...text("one"), headers: {"content-type": "text/html; charset=utf-8", "set-cookie": answers.cookies[1]}})],
  ["ANY", "/seen", async (event) => json(answers.seen(event.requestContext.http?.method ?? event.httpMethod, event.rawPath ?? event.path, headersOf(event)))],
  ["POST", "/json", parsed(httpJsonBodyParser(), async (event) => json({json: event.body}))],
  ["POST", "/form", parsed(httpUrlencodeBodyParser(), async (event) => json({form: event.body}))],
  ["POST", "/upload", parsed(httpMultipartBodyParser(), async ({body: {photo, empty, ...fields}}) => json({fields, files: [["photo", photo], ["empty", empty]]
    .flatMap(([name, given]) => files(given).map((file) => answers.file(name, file.filename, file.mimetype, file.content)))}))],
  ["POST", "/bytes", async (event) => json(answers.sum(headersOf(event)["content-encoding"] === "gzip" ? gunzipSync(body(event)) : body(event)))],
  ["GET", "/bytes/{size}", async (event) => ({statusCode: 200, headers: {"content-type": "application/octet-stream"}, isBase64Encoded: true,
    body: answers.bytes(Number(event.pathParameters.size)).toString("base64")})],
  ["GET", "/text/{lines}", async (event) => text(answers.text(Number(event.pathParameters.lines)))],
  ["GET", "/greet/{name}", async (event) => text(`grüße, ${decodeURIComponent(event.pathParameters.name)}`)],
  ["GET", "/redirect", async () => ({statusCode: 302, headers: {location: "/elsewhere/%C3%BC?x=%20y&z=1"}})],
  ["GET", "/empty", async () => ({statusCode: 204})],
  ["POST", "/made", async () => json({id: 7}, {statusCode: 201, headers: {"location": "/made/7", "x-custom": "a, b", "x-number": 7}})],
  ["GET", "/teapot", async () => text("<p>I'm a teapot</p>", "text/html", 418)],
  ["GET", "/tagged", async (event) => headersOf(event)["if-none-match"] === '"v1"' ? {statusCode: 304, headers: {etag: '"v1"'}} :
    {...text("tagged"), headers: {"content-type": "text/html; charset=utf-8", "etag": '"v1"'}}],
  ["HEAD", "/missing", async () => ({statusCode: 404})],
  ["GET", "/missing", async () => json({missing: true}, {statusCode: 404})],
  ["GET", "/fail", async () => { throw new Error("on purpose"); }],
].map(([method, path, handler]) => ({method, path, handler}));

export const handler = middy()
  .use({before: ({event}) => { event.headers ??= headersOf(event); }})
  .use(httpHeaderNormalizer())
  .use(httpErrorHandler({fallbackMessage: "it failed", logger: false}))
  .handler(httpRouter(routes));
