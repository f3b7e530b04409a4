// Loads a function's handler and serves its invocations over the Lambda Runtime API.
//
// One kept connection, written and read as plain sockets: it costs a fraction of what the http
// module does. The result of one invocation and the question for the next leave in one write.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Writable } = require('node:stream');

const [HOST, PORT] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const TASK_ROOT = process.env.LAMBDA_TASK_ROOT;
const API = '/2018-06-01/runtime';
const COMMON = `Host: ${HOST}:${PORT}\r\nUser-Agent: lambda-local-nodejs/${process.version}\r\n`;
const NEXT = `GET ${API}/invocation/next HTTP/1.1\r\n${COMMON}\r\n`;
const MAX_HEADER_BYTES = 65536;

// -- the connection: requests go out in order, answers come back in order --

class Connection {
  constructor(socket) {
    this.socket = socket;
    this.waiting = []; // one callback a request
    this.chunks = [];
    this.received = 0;
    this.head = null;
    this.need = 0; // bytes of head and body
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.take(chunk));
    socket.on('error', () => process.exit(1));
    socket.on('close', () => process.exit(0)); // lambda-local has gone, and with it all work
  }

  send(text, ...callbacks) {
    this.waiting.push(...callbacks);
    this.socket.write(text);
  }

  take(chunk) {
    this.chunks.push(chunk);
    this.received += chunk.length;
    while (this.received > 0 && (this.head || this.readHead()) && this.received >= this.need) {
      const bytes = this.whole();
      const { head, need } = this;
      this.head = null;
      this.chunks = bytes.length > need ? [bytes.subarray(need)] : [];
      this.received = bytes.length - need;
      this.waiting.shift()(head, bytes.subarray(head.length, need));
    }
  }

  whole() {
    if (this.chunks.length > 1) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0];
  }

  readHead() {
    const bytes = this.whole();
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) {
      if (bytes.length > MAX_HEADER_BYTES) process.exit(1);
      return false;
    }
    const [line, ...fields] = bytes.latin1Slice(0, end).split('\r\n');
    this.head = { status: Number(line.slice(9, 12)), length: end + 4, fields: {} };
    for (const field of fields) {
      const colon = field.indexOf(':');
      this.head.fields[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim();
    }
    this.need = end + 4 + Number(this.head.fields['content-length'] || 0);
    return true;
  }
}

function post(where, body, headers = '') {
  return `POST ${API}${where} HTTP/1.1\r\n${COMMON}Content-Type: application/json\r\n${headers}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

// -- what the handler prints --

let requestId; // of the invocation under way

function writeLine(text) {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(fs.writeSync(1, bytes));
    } catch (error) {
      if (error.code === 'EPIPE') return;
      if (error.code !== 'EAGAIN') throw error; // a handler made the pipe non-blocking: try again
    }
  }
}

function patchConsole() {
  const { format } = require('node:util');
  const levels = { log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR', debug: 'DEBUG', trace: 'TRACE' };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...values) =>
      writeLine(`${new Date().toISOString()}\t${requestId}\t${level}\t${format(...values)}\n`);
  }
}

// -- errors, as Lambda words them --

class RuntimeFault extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

function describe(error) {
  if (error instanceof Error || (error && error.stack && error.message !== undefined)) {
    return {
      errorType: String(error.name),
      errorMessage: String(error.message),
      trace: String(error.stack || '').split('\n'),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function errorType(description) {
  return `Lambda-Runtime-Function-Error-Type: ${description.errorType.replace(/[^\x21-\x7e]/g, '_').slice(0, 256)}\r\n`;
}

// -- the handler --

function isModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let folder = path.dirname(file); folder.startsWith(TASK_ROOT); folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest, 'utf8')).type === 'module';
  }
  return false;
}

async function load(file) {
  try {
    if (isModule(file)) return await import(require('node:url').pathToFileURL(file).href);
    return require(file);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw Object.assign(new RuntimeFault('Runtime.UserCodeSyntaxError', `${error}`), { stack: error.stack });
    }
    if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
      throw Object.assign(new RuntimeFault('Runtime.ImportModuleError', `${error}`), { stack: error.stack });
    }
    throw error;
  }
}

async function findHandler() {
  const full = process.env._HANDLER;
  const base = path.basename(full);
  const match = /^([^.]*)\.(.+)$/.exec(base);
  if (full.includes('..') || !match) throw new RuntimeFault('Runtime.MalformedHandlerName', 'Bad handler');
  const stem = path.resolve(TASK_ROOT, full.slice(0, full.length - base.length), match[1]);
  const file = ['.js', '.mjs', '.cjs', ''].map((end) => stem + end)
    .find((name) => fs.existsSync(name) && fs.statSync(name).isFile());
  if (!file) {
    throw new RuntimeFault('Runtime.ImportModuleError', `Error: Cannot find module '${path.relative(TASK_ROOT, stem)}'`);
  }
  const loaded = await load(file);
  const names = match[2].split('.');
  const reach = (from) => names.reduce((value, name) => (value === undefined || value === null ? undefined : value[name]), from);
  const handler = reach(loaded) ?? reach(loaded.default);
  if (handler === undefined) {
    throw new RuntimeFault('Runtime.HandlerNotFound', `${full} is undefined or not exported`);
  }
  if (typeof handler !== 'function') throw new RuntimeFault('Runtime.HandlerNotFound', `${full} is not a function`);
  return handler;
}

// -- streamed answers: what AWS's runtime offers handlers as the global `awslambda` --

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const INTEGRATION_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);
const MAX_TRAILER_BYTES = 24 * 1024;

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = 'response';
    if (typeof options?.highWaterMark === 'number') handler[HIGH_WATER_MARK] = options.highWaterMark;
    return handler;
  },
  HttpResponseStream: class HttpResponseStream {
    static from(stream, prelude) {
      stream.setContentType(INTEGRATION_TYPE);
      const text = JSON.stringify(prelude);
      stream._onBeforeFirstWrite = (write) => {
        write(text);
        write(PRELUDE_END);
      };
      return stream;
    }
  },
};

// One request with a chunked body on the kept connection; the handler is slowed down while the socket is full.
class ResponseStream extends Writable {
  #invocation;
  #contentType = 'application/octet-stream';

  constructor(invocation, highWaterMark) {
    super({ highWaterMark, decodeStrings: true });
    this.#invocation = invocation;
    this.begun = false;  // the head has been sent
    this.terminated = false; // so has the end
  }

  setContentType(type) {
    if (this.begun) throw new RuntimeFault('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    this.#contentType = String(type);
  }

  write(chunk, encoding, callback) {
    const bytes = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    return super.write(bytes, encoding, callback);
  }

  #begin() {
    if (this.begun) return;
    this.begun = true;
    const type = this.#contentType.replace(/[^\x20-\x7e]/g, '_');
    connection.send(`POST ${API}/invocation/${this.#invocation.id}/response HTTP/1.1\r\n${COMMON}` +
      `Content-Type: ${type}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n` +
      'Transfer-Encoding: chunked\r\n' +
      'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n', ignore);
    this._onBeforeFirstWrite?.((bytes) => this.#chunk(Buffer.from(bytes)));
  }

  #chunk(bytes) {
    if (bytes.length === 0) return true;
    const { socket } = connection;
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    const roomy = socket.write('\r\n');
    socket.uncork();
    return roomy;
  }

  _write(bytes, encoding, done) {
    this.#begin();
    if (this.#chunk(bytes)) done();
    else connection.socket.once('drain', done);
  }

  _final(done) {
    this.#begin();
    this.#close('');
    done();
  }

  _destroy(error, done) {
    this.fail(error ?? new Error('The response stream was destroyed'));
    done(null);
  }

  #close(trailers) {
    if (this.terminated) return;
    this.terminated = true;
    connection.socket.write(`0\r\n${trailers}\r\n`);
    this.#invocation.streamClosed();
  }

  // The failure goes into the trailers; false when it is too early or too late for that.
  fail(error) {
    if (!this.begun || this.terminated) return false;
    const description = error.errorType ? error : describe(error);
    let body = JSON.stringify(description);
    if (body.length > MAX_TRAILER_BYTES) {
      body = JSON.stringify({ ...description, errorMessage: description.errorMessage.slice(0, 1024), trace: [] });
    }
    writeLine(`${new Date().toISOString()}\t${this.#invocation.id}\tERROR\tInvoke Error \t${body}\n`);
    this.#close(errorType(description) +
      `Lambda-Runtime-Function-Error-Body: ${Buffer.from(body).toString('base64')}\r\n`);
    return true;
  }
}

// -- invocations --

let connection;
let handler;
let current = null; // the invocation under way

class Context {
  #deadline;
  #invocation;

  constructor(fields, invocation) {
    const { env } = process;
    this.#deadline = Number(fields['lambda-runtime-deadline-ms']);
    this.#invocation = invocation;
    this.callbackWaitsForEmptyEventLoop = true;
    this.functionVersion = env.AWS_LAMBDA_FUNCTION_VERSION;
    this.functionName = env.AWS_LAMBDA_FUNCTION_NAME;
    this.memoryLimitInMB = env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
    this.logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME;
    this.logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME;
    this.clientContext = parseHeader(fields['lambda-runtime-client-context']);
    this.identity = parseHeader(fields['lambda-runtime-cognito-identity']);
    this.invokedFunctionArn = fields['lambda-runtime-invoked-function-arn'];
    this.awsRequestId = fields['lambda-runtime-aws-request-id'];
    this.getRemainingTimeInMillis = () => this.#deadline - Date.now();
    this.done = (error, result) => this.#invocation.end(error ?? null, result);
    this.succeed = (result) => this.#invocation.end(null, result);
    this.fail = (error) => this.#invocation.end(error ?? 'handled');
  }
}

function parseHeader(text) {
  // Header bytes come as Latin-1; what they hold is UTF-8.
  return text ? JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) : undefined;
}

class Invocation {
  constructor(id) {
    this.id = id;
    this.ended = false;
    this.held = null; // what the callback said, until the event loop is empty
  }

  end(error, result) {
    if (this.ended) return;
    this.ended = true;
    current = null;
    connection.socket.ref();
    connection.send(this.answer(error, result) + NEXT, ignore, onNext);
  }

  answer(error, result) {
    if (error === null || error === undefined) {
      try {
        return post(`/invocation/${this.id}/response`, JSON.stringify(result) ?? 'null');
      } catch {
        error = new Error('Unable to stringify response body');
      }
    }
    return this.failure(describe(error), 'Invoke Error ');
  }

  failure(description, label) {
    const body = JSON.stringify(description);
    writeLine(`${new Date().toISOString()}\t${this.id}\tERROR\t${label}\t${body}\n`);
    return post(`/invocation/${this.id}/error`, body, errorType(description));
  }
}

// Over when the stream is closed and the handler has settled; a failure before the first byte is an ordinary one.
class StreamingInvocation extends Invocation {
  constructor(id, highWaterMark) {
    super(id);
    this.settled = false;
    this.stream = new ResponseStream(this, highWaterMark);
    this.stream.on('error', ignore); // told by the trailers
  }

  streamClosed() {
    if (this.settled) this.next();
  }

  // The handler has settled, or nothing is left that could still write.
  end(error) {
    if (this.ended) return;
    const failed = error !== null && error !== undefined;
    if (!this.stream.begun && (failed || this.stream.destroyed)) {
      super.end(failed ? error : new Error('The response stream was destroyed'));
      return;
    }
    const again = this.settled;
    this.settled = true;
    if (failed && !this.stream.fail(error)) console.error('The handler failed after its response was sent', error);
    if (!failed && again) this.stream.end();
    if (this.stream.terminated) this.next();
  }

  failure(description, label) {
    return this.stream.begun ? '' : super.failure(description, label);
  }

  next() {
    if (this.ended) return;
    this.ended = true;
    current = null;
    connection.socket.ref();
    connection.send(NEXT, onNext);
  }
}

function ignore() {}

function onNext({ status, fields }, body) {
  if (status !== 200) {
    writeLine(`lambda-local refused the question for the next event: ${status} ${body}\n`);
    process.exit(1);
  }
  const id = fields['lambda-runtime-aws-request-id'];
  const invocation = handler[STREAMING] === 'response'
    ? new StreamingInvocation(id, handler[HIGH_WATER_MARK]) : new Invocation(id);
  requestId = id;
  current = invocation;
  process.env._X_AMZN_TRACE_ID = fields['lambda-runtime-trace-id'] || '';
  try {
    run(invocation, JSON.parse(body.utf8Slice()), new Context(fields, invocation));
  } catch (error) {
    invocation.end(error ?? new Error('the handler threw nothing'));
  }
}

function run(invocation, event, context) {
  connection.socket.unref(); // so that an empty event loop is seen
  if (invocation.stream) {
    const settling = handler(event, invocation.stream, context);
    if (typeof settling?.then !== 'function') throw new Error('Streaming does not support non-async handlers.');
    settling.then(() => invocation.end(null), (error) => invocation.end(error ?? 'rejected'));
    return;
  }
  const returned = handler(event, context, (error, result) => {
    if (context.callbackWaitsForEmptyEventLoop) invocation.held ??= [error, result];
    else invocation.end(error ?? null, result);
  });
  if (returned && typeof returned.then === 'function') {
    returned.then((result) => invocation.end(null, result), (error) => invocation.end(error ?? 'rejected'));
  }
}

// Nothing is left to do: what the callback said counts, else null.
process.on('beforeExit', () => {
  if (!current) return;
  if (current.stream) current.settled = true;
  current.end(...(current.held ?? [null, null]));
});

function fatal(description, code) {
  if (!connection) process.exit(code);
  connection.socket.ref();
  if (current?.stream?.begun) {
    current.ended = true;
    current.stream.fail(description);
    const { waiting } = connection;
    if (waiting.length === 0) process.exit(code);
    waiting[waiting.length - 1] = () => process.exit(code); // the stream has been taken in
  } else if (current) {
    connection.send(current.failure(description, 'Uncaught Exception '), () => process.exit(code));
  } else {
    writeLine(`${new Date().toISOString()}\tundefined\tERROR\tUncaught Exception \t${JSON.stringify(description)}\n`);
    if (handler) process.exit(code);
    connection.send(post('/init/error', JSON.stringify(description), errorType(description)), () => process.exit(code));
  }
}

process.on('uncaughtException', (error) => fatal(describe(error), 129));
process.on('unhandledRejection', (reason) => {
  const description = describe(reason);
  fatal({
    errorType: 'Runtime.UnhandledPromiseRejection',
    errorMessage: reason instanceof Error ? `${description.errorType}: ${description.errorMessage}` : description.errorMessage,
    trace: ['Runtime.UnhandledPromiseRejection: ' + description.errorMessage, ...description.trace],
  }, 128);
});

async function main() {
  patchConsole();
  const socket = net.connect({ host: HOST, port: Number(PORT) });
  connection = new Connection(socket);
  handler = await findHandler();
  connection.send(NEXT, onNext);
}

main().catch((error) => fatal(describe(error), 1));
