// What an app's function printed: read back, filtered, and followed.
import { Problem, lines, q } from './api.js';
import { appFrame, readApp } from './app_frame.js';
import { h, replace } from './dom.js';
import { checkbox, field, form, input, problemBox, select } from './form.js';
import { full } from './format.js';
import { announce } from './notice.js';
import { refusal } from './session.js';

const MOST_LINES = 2000;
const SINCE = [
  ['5m', 'the last 5 minutes'],
  ['15m', 'the last 15 minutes'],
  ['1h', 'the last hour'],
  ['6h', 'the last 6 hours'],
  ['1d', 'the last day'],
];

function parse(text) {
  try {
    const line = JSON.parse(text);
    return line && typeof line === 'object' ? line : { message: text };
  } catch {
    return { message: text };
  }
}

function row(line, onrequest) {
  const at = line.time || line.timestamp,
    message = line.message ?? line.line ?? JSON.stringify(line);
  const version = line.version ?? line.lambdaVersion;
  return h(
    'li',
    { class: /\b(ERROR|FATAL)\b|Task timed out/.test(String(message).slice(0, 200)) ? 'log-line error' : 'log-line' },
    h('time', { datetime: at }, at ? full(at).slice(5) : ''),
    h('span', { class: 'log-version' }, version ? `v${version}` : ''),
    h(
      'span',
      { class: 'log-text' },
      typeof message === 'string' ? message.replace(/\n$/, '') : JSON.stringify(message),
    ),
    line.requestId &&
      h(
        'button',
        {
          type: 'button',
          class: 'plain log-request',
          title: `Only the request ${line.requestId}`,
          'aria-label': `Only the request ${line.requestId}`,
          onclick: () => onrequest(line.requestId),
        },
        line.requestId.slice(0, 8),
      ),
  );
}

export async function logsPage(context) {
  const {
      names: { name },
      query,
      signal,
    } = context,
    { app, status, base } = await readApp(name, signal);
  const off = refusal('readLogs');
  if (off) return appFrame(app, status, 'Logs', h('p', { class: 'empty' }, off));
  const since = select(SINCE, query.get('since') || '1h'),
    request = input({ value: query.get('requestId') || '', class: 'code' });
  const version = input({ type: 'number', min: 1, value: query.get('version') || '' }),
    follow = checkbox('Follow', { checked: true });
  const list = h('ol', { class: 'log', 'aria-label': `Log lines of ${name}` }),
    state = h('p', { class: 'log-state', role: 'status' }),
    trouble = h('div');
  const scroller = h('div', { class: 'log-box', tabindex: '0', role: 'region', 'aria-label': `Log of ${name}` }, list);
  let reading = null,
    count = 0,
    waiting = [],
    drawn = null;
  signal.addEventListener('abort', () => {
    if (reading) reading.abort();
  });

  const flush = () => {
    drawn = null;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
    list.append(
      ...waiting
        .splice(0)
        .slice(-MOST_LINES)
        .map((line) =>
          row(line, (id) => {
            request.value = id;
            element.requestSubmit();
          }),
        ),
    );
    while (list.children.length > MOST_LINES) list.firstChild.remove();
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
    state.textContent = `${count} line${count === 1 ? '' : 's'}${count > MOST_LINES ? `, the last ${MOST_LINES} are shown` : ''}${reading ? '; following' : ''}`;
  };
  const take = (line) => {
    count++;
    waiting.push(line);
    if (drawn === null) drawn = setTimeout(flush, 60);
  };
  const read = async () => {
    if (reading) reading.abort();
    const mine = (reading = new AbortController());
    const wish = new URLSearchParams({ since: since.value });
    if (request.value.trim()) wish.set('requestId', request.value.trim());
    if (version.value.trim()) wish.set('version', version.value.trim());
    if (follow.control.checked) wish.set('follow', 'true');
    replace(list);
    (count = 0), (waiting = []);
    state.textContent = 'Reading…';
    announce('Reading the log.');
    try {
      for await (const text of lines(`${base}/logs?${wish}`, { accept: 'application/x-ndjson', signal: mine.signal })) {
        if (mine !== reading) return;
        if (text.trim()) take(parse(text));
      }
    } finally {
      if (mine === reading) {
        reading = null;
        flush();
      }
    }
  };
  const begin = () =>
    read().catch((problem) => {
      if (problem.name === 'AbortError' || problem.status === 401) return;
      if (!(problem instanceof Problem)) throw problem;
      if (!problem.errors.length) {
        replace(trouble, problemBox(problem));
        return;
      }
      throw problem;
    });
  const stop = h(
    'button',
    {
      type: 'button',
      class: 'button',
      onclick: () => {
        if (reading) reading.abort();
      },
    },
    'Stop',
  );
  const element = form({
    label: 'Read',
    class: 'log-form',
    more: [stop],
    children: h(
      'div',
      { class: 'grid' },
      field({ label: 'Since', control: since, parameter: 'since' }),
      field({ label: 'Request id', control: request, parameter: 'requestId' }),
      field({ label: 'Version', control: version, parameter: 'version' }),
      follow,
    ),
    // It goes on while the log is followed: the button is free as soon as it has begun.
    save: async () => {
      replace(trouble);
      await Promise.race([
        begin(),
        new Promise((done) => {
          setTimeout(done, 400);
        }),
      ]);
    },
  });
  begin().catch(() => {});
  return appFrame(app, status, 'Logs', [h('section', { class: 'panel' }, element), trouble, state, scroller]);
}
