// What an app's function printed: read back, filtered, and followed.
import { Problem } from './api.js';
import { appFrame, readApp } from './app_frame.js';
import { h, replace } from './dom.js';
import { checkbox, field, form, input, problemBox, select, showProblem } from './form.js';
import { full } from './format.js';
import { readLog } from './log_reader.js';
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

function tone(message) {
  if (/^(START|END|REPORT|INIT_START) /.test(message)) return 'log-line platform';
  return /\b(ERROR|FATAL)\b|Task timed out/.test(message.slice(0, 200)) ? 'log-line error' : 'log-line';
}

function row(line, onrequest) {
  const message =
    typeof line.message === 'string' ? line.message.replace(/\n$/, '') : JSON.stringify(line.message ?? line);
  const id = line.requestId;
  const request = { type: 'button', class: 'plain log-request', 'aria-label': `Only the request ${id}` };
  return h(
    'li',
    { class: tone(message) },
    h('time', { datetime: line.time }, line.time ? full(line.time).slice(5) : ''),
    h('span', { class: 'log-version' }, line.version ? `v${line.version}` : ''),
    h('span', { class: 'log-text' }, message),
    id && h('button', { ...request, title: id, onclick: () => onrequest(id) }, id.slice(-8)),
  );
}

// The box of lines: drawn at most 16 times a second, at its end unless somebody scrolled up.
function logBox(name, onrequest) {
  const list = h('ol', { class: 'log' });
  const element = h('div', { class: 'log-box', tabindex: '0', role: 'region', 'aria-label': `Log of ${name}` }, list);
  const state = h('p', { class: 'log-state' });
  let count = 0,
    waiting = [],
    timer = null,
    doing = '';
  const flush = () => {
    timer = null;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    list.append(
      ...waiting
        .splice(0)
        .slice(-MOST_LINES)
        .map((line) => row(line, onrequest)),
    );
    while (list.children.length > MOST_LINES) list.firstChild.remove();
    if (atEnd) element.scrollTop = element.scrollHeight;
    const cut = count > MOST_LINES ? `, the last ${MOST_LINES} are shown` : '';
    state.textContent = [`${count} line${count === 1 ? '' : 's'}${cut}`, doing].filter(Boolean).join('; ');
  };
  const later = () => {
    if (timer === null) timer = setTimeout(flush, 60);
  };
  return {
    element,
    state,
    add(line) {
      count++;
      waiting.push(line);
      later();
    },
    clear() {
      count = 0;
      waiting = [];
      replace(list);
    },
    say(what) {
      doing = what;
      later();
    },
    count: () => count,
  };
}

function told(end, trouble) {
  if (!end || end.reason === 'complete') return;
  if (end.reason === 'problem') replace(trouble, problemBox(new Problem(end.problem?.status ?? 0, end.problem)));
  else replace(trouble, h('p', { class: 'strip' }, end.detail || `It ended: ${end.reason}.`));
}

export async function logsPage(context) {
  const { query, signal } = context;
  const { app, status, base } = await readApp(context.names.name, signal);
  const off = refusal('readLogs');
  if (off) return appFrame(app, status, 'Logs', h('p', { class: 'empty' }, off));
  const since = select(SINCE, query.get('since') || '1h');
  const request = input({ value: query.get('requestId') || '', class: 'code' });
  const version = input({ type: 'number', min: 1, value: query.get('version') || '' });
  const follow = checkbox('Follow', { checked: true });
  const trouble = h('div');
  const box = logBox(app.name, (id) => {
    request.value = id;
    element.requestSubmit();
  });
  let reading = null;
  signal.addEventListener('abort', () => reading && reading.abort());

  const wish = () => {
    const wanted = { since: since.value, requestId: request.value.trim(), version: version.value.trim() };
    if (follow.control.checked) wanted.follow = 'true';
    return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
  };
  const read = async () => {
    if (reading) reading.abort();
    const mine = (reading = new AbortController());
    replace(trouble);
    box.clear();
    box.say(follow.control.checked ? 'following' : 'reading');
    try {
      const end = await readLog(`${base}/logs`, wish(), {
        signal: mine.signal,
        online: box.add,
        ontrouble: (why) => box.say(why === 'lost' ? 'the connection is lost; it is tried again' : 'following'),
      });
      told(end, trouble);
    } catch (problem) {
      if (problem.name === 'AbortError') return;
      if (problem.status !== 401) showProblem(element, problem);
    } finally {
      if (mine === reading) {
        reading = null;
        box.say('');
        announce(`${box.count()} lines are read.`);
      }
    }
  };
  const stop = h('button', { type: 'button', class: 'button', onclick: () => reading && reading.abort() }, 'Stop');
  const element = form({
    label: 'Read',
    class: 'log-form',
    more: stop,
    children: h(
      'div',
      { class: 'grid' },
      field({ label: 'Since', control: since, parameter: 'since' }),
      field({ label: 'Request id', control: request, parameter: 'requestId' }),
      field({ label: 'Version', control: version, parameter: 'version' }),
      follow,
    ),
    // Not waited for: it goes on while the log is followed.
    save: async () => {
      read();
    },
  });
  read();
  return appFrame(app, status, 'Logs', [h('section', { class: 'panel' }, element), trouble, box.state, box.element]);
}
