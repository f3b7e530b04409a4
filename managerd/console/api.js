// Calls the API: the token, conditions, Idempotency-Key, problem documents, pages, streams and uploads.

let token = null; // in memory; session.js may also keep it in the tab's session storage
let onSignedOut = () => {};

export const setToken = (value) => {
  token = value;
};
export const hasToken = () => token !== null;
export const whenSignedOut = (act) => {
  onSignedOut = act;
};

// What the API answered when it did not do what was asked (RFC 9457).
export class Problem extends Error {
  constructor(status, document, requestId) {
    super((document && (document.detail || document.title)) || `The answer was ${status || 'lost'}.`);
    this.status = status;
    this.title = (document && document.title) || (status ? `Answer ${status}` : 'managerd cannot be reached');
    this.type = (document && document.type) || '';
    this.errors = (document && document.errors) || [];
    this.aws = document && document.aws;
    this.requestId = requestId || '';
  }
}

function headersFor(options) {
  const headers = { Accept: options.accept || 'application/json', ...options.headers };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (options.json !== undefined) headers['Content-Type'] = 'application/json';
  if (options.ifMatch) headers['If-Match'] = `"${options.ifMatch}"`;
  if (options.create) headers['If-None-Match'] = '*';
  return headers;
}

async function problemOf(status, text, requestId) {
  let document = null;
  try {
    document = JSON.parse(text);
  } catch {
    document = null; // something between us and managerd answered
  }
  return new Problem(status, document, requestId);
}

function lost(error) {
  if (error.name === 'AbortError') return error;
  return new Problem(0, {
    title: 'managerd cannot be reached',
    detail: 'The connection failed. Nothing is known of an answer; try again.',
  });
}

async function send(method, path, options) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: headersFor(options),
      signal: options.signal,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      body: options.json === undefined ? undefined : JSON.stringify(options.json),
    });
  } catch (error) {
    throw lost(error);
  }
  if (answer.ok) return answer;
  const problem = await problemOf(
    answer.status,
    await answer.text().catch(() => ''),
    answer.headers.get('X-Request-Id'),
  );
  if (problem.status === 401) onSignedOut(problem);
  throw problem;
}

const pause = (ms) =>
  new Promise((done) => {
    setTimeout(done, ms);
  });

// Names one intent. A call that is sent again with it does nothing twice.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function sendSurely(method, path, options) {
  const headers = { ...options.headers, 'Idempotency-Key': options.key || newKey() };
  for (let wait = 300; ; wait *= 3) {
    try {
      return await send(method, path, { ...options, headers });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0 || wait > 1000) throw error;
      await pause(wait);
    }
  }
}

// The answer's JSON, or null. options: json, ifMatch (a revision), create, signal, headers, key (of a POST).
export async function call(method, path, options = {}) {
  const answer = await (method === 'POST' ? sendSurely : send)(method, path, options);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, signal) => call('GET', path, { signal });
export const q = encodeURIComponent;

// {items, next}
export async function page(path, { limit = 50, cursor = null, signal } = {}) {
  const list = await get(
    `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor ? `&cursor=${q(cursor)}` : ''}`,
    signal,
  );
  return { items: list.items, next: list.nextCursor };
}

// Everything, up to `most`.
export async function all(path, signal, most = 2000) {
  const items = [];
  let cursor = null;
  do {
    const one = await page(path, { limit: 500, cursor, signal });
    items.push(...one.items);
    cursor = one.next;
  } while (cursor && items.length < most);
  return items;
}

// Each line of an answer that goes on, until it ends. Lines beyond 1 MiB end it.
export async function* lines(path, { accept, signal }) {
  const answer = await send('GET', path, { accept, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      if (rest.length > 1048576) throw new Problem(0, { title: 'A line is too long' });
      yield* parts.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
    }
  } catch (error) {
    throw error instanceof Problem ? error : lost(error);
  } finally {
    reader.cancel().catch(() => {});
  }
  if (rest) yield rest;
}

// Server-sent events: {event, data}. EventSource cannot send a token.
export async function* events(path, signal) {
  let event = 'message',
    data = [];
  for await (const line of lines(path, { accept: 'text/event-stream', signal })) {
    if (line === '') {
      if (data.length) yield { event, data: data.join('\n') };
      (event = 'message'), (data = []);
    } else if (line.startsWith('event:')) {
      event = line.slice(6).trim();
    } else if (line.startsWith('data:')) {
      data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
  }
}

// POSTs a file, telling the share that is sent (0 to 1): fetch does not tell it.
export function upload(path, file, { key, signal, onprogress }) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.setRequestHeader('Content-Type', 'application/zip');
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Idempotency-Key', key);
    if (token !== null) request.setRequestHeader('Authorization', `Bearer ${token}`);
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    request.onerror = () => failed(lost(new TypeError('network')));
    request.onabort = () => failed(new DOMException('cancelled', 'AbortError'));
    request.onload = async () => {
      if (request.status >= 200 && request.status < 300) {
        done(JSON.parse(request.responseText));
        return;
      }
      const problem = await problemOf(request.status, request.responseText, request.getResponseHeader('X-Request-Id'));
      if (problem.status === 401) onSignedOut(problem);
      failed(problem);
    };
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}
