-- The job that proxyd does, as gateways on nginx with Lua do it: event, SHA-256, Signature Version 4, Invoke by cosocket, reply.
-- What may be prepared once is prepared once, and OpenSSL is called directly: the fastest form that we found.
local ffi = require "ffi"
local cjson = require "cjson.safe"

ffi.cdef [[
unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *d, size_t n, unsigned char *out, unsigned int *out_len);
]]
local crypto = ffi.load("libcrypto.so.3")
local digest, length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local sha256_kind = crypto.EVP_sha256()
local hex_of = {}
for byte = 0, 255 do hex_of[byte] = string.format("%02x", byte) end
local hex_parts = require("table.new")(32, 0)

local function hex()
  for i = 0, 31 do hex_parts[i + 1] = hex_of[digest[i]] end
  return table.concat(hex_parts)
end

local function sha256_hex(text)
  crypto.SHA256(text, #text, digest)
  return hex()
end

local function hmac(key, text)
  crypto.HMAC(sha256_kind, key, #key, text, #text, digest, length)
  return ffi.string(digest, 32)
end

local gateway = {}
local settings, day_keys, apps = nil, {}, {}
local base64_for = function(kind)
  return kind and not (kind:find("^text/") or kind:find("json", 1, true) or kind:find("xml", 1, true) or kind:find("javascript", 1, true)
    or kind:find("x-www-form-urlencoded", 1, true))
end

function gateway.start(port, host)
  settings = { port = port, host = host, region = "us-east-1", key_id = "AKIDEXAMPLE", secret = "secret" }
  for n = 1, 1000 do apps["app" .. n] = { ["function"] = "app" .. n } end
  apps.hello = { ["function"] = "hello" }
end

local function signing_key(day)
  local key = day_keys[day]
  if not key then
    key = hmac(hmac(hmac(hmac("AWS4" .. settings.secret, day), settings.region), "lambda"), "aws4_request")
    day_keys[day] = key
  end
  return key
end

local function event_of(app)
  local var, headers, cookies, flat = ngx.var, ngx.req.get_headers(0), nil, {}
  for name, value in pairs(headers) do
    if name == "cookie" then
      cookies = {}
      for one in (type(value) == "table" and table.concat(value, "; ") or value):gmatch("[^;%s]+") do cookies[#cookies + 1] = one end
    else
      flat[name] = type(value) == "table" and table.concat(value, ",") or value
    end
  end
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if not body then
    local path = ngx.req.get_body_file()
    if path then
      local file = io.open(path, "rb")
      body = file:read("*a")
      file:close()
    end
  end
  local encoded = body and base64_for(headers["content-type"]) or false
  return cjson.encode {
    version = "2.0", routeKey = "$default", rawPath = var.uri, rawQueryString = var.args or "", cookies = cookies, headers = flat,
    queryStringParameters = next(ngx.req.get_uri_args()) and ngx.req.get_uri_args() or nil,
    requestContext = {
      accountId = "anonymous", apiId = app, domainName = var.host, domainPrefix = app, requestId = var.request_id, routeKey = "$default", stage = "$default",
      time = ngx.http_time(ngx.time()), timeEpoch = ngx.now() * 1000,
      http = { method = var.request_method, path = var.uri, protocol = var.server_protocol, sourceIp = var.remote_addr, userAgent = headers["user-agent"] },
    },
    body = encoded and ngx.encode_base64(body) or body, isBase64Encoded = encoded,
  }
end

local function signed(path, event)
  local now = ngx.utctime() -- 2026-11-23 20:55:20
  local day = now:sub(1, 4) .. now:sub(6, 7) .. now:sub(9, 10)
  local date = day .. "T" .. now:sub(12, 13) .. now:sub(15, 16) .. now:sub(18, 19) .. "Z"
  local scope = day .. "/" .. settings.region .. "/lambda/aws4_request"
  local canonical = "POST\n" .. path .. "\n\nhost:" .. settings.host .. "\nx-amz-date:" .. date .. "\n\nhost;x-amz-date\n" .. sha256_hex(event)
  local to_sign = "AWS4-HMAC-SHA256\n" .. date .. "\n" .. scope .. "\n" .. sha256_hex(canonical)
  hmac(signing_key(day), to_sign)
  return date, "AWS4-HMAC-SHA256 Credential=" .. settings.key_id .. "/" .. scope .. ", SignedHeaders=host;x-amz-date, Signature=" .. hex()
end

local function invoke(path, event)
  local date, authorization = signed(path, event)
  local socket = ngx.socket.tcp()
  socket:settimeouts(2000, 30000, 30000)
  if not socket:connect("127.0.0.1", settings.port, { pool_size = 512 }) then return nil end
  if not socket:send { "POST ", path, " HTTP/1.1\r\nHost: ", settings.host, "\r\nX-Amz-Date: ", date, "\r\nAuthorization: ", authorization,
      "\r\nContent-Type: application/json\r\nContent-Length: ", tostring(#event), "\r\n\r\n", event } then return nil end
  local status, size = socket:receive("*l"), nil
  if not status then return nil end
  while true do
    local line = socket:receive("*l")
    if not line then return nil end
    if line == "" then break end
    local found = line:match("^[Cc]ontent%-[Ll]ength: *(%d+)")
    size = found and tonumber(found) or size
  end
  local body = socket:receive(size)
  socket:setkeepalive(60000, 512)
  return status:find(" 200 ", 1, true) and body or nil
end

function gateway.serve()
  local name = ngx.var.host:match("^([^.]+)%.")
  local app = name and apps[name]
  if not app then return ngx.exit(404) end
  local answer = invoke("/2015-03-31/functions/" .. app["function"] .. "/invocations", event_of(name))
  local reply = answer and cjson.decode(answer)
  if type(reply) ~= "table" or not reply.statusCode then return ngx.exit(502) end
  ngx.status = reply.statusCode
  for header, value in pairs(reply.headers or {}) do
    if header:lower() ~= "content-length" then ngx.header[header] = value end
  end
  local body = reply.isBase64Encoded and ngx.decode_base64(reply.body) or reply.body or ""
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end

return gateway
