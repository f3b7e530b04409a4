// Operations: the list, and one that is followed live, step by step.
import { call, events, get, page, q } from './api.js';
import { ask } from './dialog.js';
import { h, replace } from './dom.js';
import { action, attempt, problemBox, select } from './form.js';
import { percent, pill, time, took, words } from './format.js';
import { table } from './list.js';
import { announce, tell } from './notice.js';

const MOST_PAGES = 6;
const SHOWN = 200;
const ENDED = ['succeeded', 'failed', 'cancelled'];

function figures(of) {
  const parts = [`${of.calls} calls`, `${of.errors} errors`];
  if (typeof of.latencyP99Ms === 'number') parts.push(`p99 ${Math.round(of.latencyP99Ms)} ms`);
  if (of.silent) parts.push(`${of.silent} ${of.silent > 1 ? 'proxies' : 'proxy'} silent`);
  return parts.join(' · ');
}

function step(one) {
  const name = words(one.name) + (typeof one.percent === 'number' ? ` to ${percent(one.percent)}` : '');
  return h(
    'li',
    { class: `step ${one.state}` },
    h('span', { class: 'step-mark', 'aria-hidden': 'true' }),
    h(
      'div',
      { class: 'step-body' },
      h(
        'p',
        { class: 'step-name' },
        name,
        one.subject && h('code', null, one.subject),
        h('span', { class: 'step-state' }, one.state),
      ),
      one.detail && h('p', { class: 'note' }, one.detail),
      one.figures && h('p', { class: 'note figures' }, figures(one.figures)),
      one.attempts > 1 && h('p', { class: 'note' }, `begun ${one.attempts} times`),
    ),
    h(
      'span',
      { class: 'step-time figures' },
      one.startedAt && one.state !== 'running' ? took(one.startedAt, one.finishedAt) : '',
    ),
  );
}

function outcome(operation) {
  if (operation.problem)
    return problemBox({
      ...operation.problem,
      message: operation.problem.detail || operation.problem.title,
      requestId: '',
    });
  if (operation.state !== 'succeeded') return null;
  const version = operation.result && operation.result.version;
  return h(
    'p',
    { class: 'strip good' },
    version ? `Version ${version} is there. ` : 'It is done. ',
    operation.app &&
      operation.type !== 'delete' &&
      h('a', { href: `#/apps/${q(operation.app)}` }, `To ${operation.app}`),
  );
}

// Follows it until it has ended; a stream that breaks is taken up again a few times.
export async function follow(id, show, signal) {
  for (let tries = 0; tries < 8; tries++) {
    try {
      for await (const { data } of events(`/v1/operations/${q(id)}/events`, signal)) {
        const operation = JSON.parse(data);
        tries = 0;
        show(operation);
        if (ENDED.includes(operation.state)) return;
      }
    } catch (problem) {
      if (problem.name === 'AbortError' || [401, 403, 404].includes(problem.status)) throw problem;
    }
    await new Promise((done) => {
      setTimeout(done, 500 * 2 ** Math.min(tries, 4));
    });
    if (signal.aborted) return;
  }
  throw new Error('lost');
}

const title = (operation) => `${words(operation.type)} ${operation.app || ''}`.trim();

export async function operationPage(context) {
  const {
      names: { id },
      signal,
    } = context,
    first = await get(`/v1/operations/${q(id)}`, signal);
  const state = h('span'),
    steps = h('ol', { class: 'steps' }),
    end = h('div'),
    buttons = h('div', { class: 'actions' }),
    trouble = h('div');
  let told = first.steps.filter((one) => one.state === 'done').length,
    ended = ENDED.includes(first.state);
  const cancel = action('Cancel', {
    call: 'cancelOperation',
    onclick: async () => {
      if (
        !(await ask({
          title: 'Cancel this operation?',
          text: 'What it did so far is taken back as far as it has not taken effect.',
          yes: 'Cancel it',
        }))
      )
        return;
      await attempt(trouble, async () => {
        await call('POST', `/v1/operations/${q(id)}/cancel`);
        announce('It is being cancelled.');
      });
    },
  });
  const show = (operation) => {
    replace(state, pill(operation.state));
    replace(steps, operation.steps.map(step));
    replace(end, outcome(operation));
    const done = operation.steps.filter((one) => ['done', 'skipped'].includes(one.state)).length,
      running = operation.steps.find((one) => one.state === 'running');
    if (done !== told && running)
      announce(`${done} of ${operation.steps.length} steps are done. Now: ${words(running.name)}.`);
    told = done;
    if (ENDED.includes(operation.state)) {
      replace(buttons);
      if (!ended) tell(`${title(operation)}: ${operation.state}.`, operation.state === 'succeeded' ? 'good' : 'bad');
      ended = true;
    }
  };
  if (!ended) {
    buttons.append(cancel);
    follow(id, show, signal).catch((problem) => {
      if (problem.name !== 'AbortError' && problem.status !== 401)
        replace(
          trouble,
          h(
            'p',
            { class: 'strip bad', role: 'alert' },
            'The connection to managerd is lost; what is shown may be old. ',
            h('button', { type: 'button', class: 'button', onclick: () => context.refresh() }, 'Try again'),
          ),
        );
    });
  }
  show(first);
  return {
    title: title(first),
    above: h(
      'p',
      { class: 'crumbs' },
      h('a', { href: '#/operations' }, 'Operations'),
      first.app && h('a', { href: `#/apps/${q(first.app)}` }, first.app),
    ),
    beside: [state, buttons],
    below: h('p', { class: 'lead' }, 'Asked for ', time(first.createdAt), ` by ${first.createdBy}`),
    content: [trouble, end, h('section', { class: 'panel' }, h('h2', null, 'Steps'), steps)],
  };
}

// The list is the oldest first; people look for the newest.
async function newest(state, signal) {
  const items = [];
  let cursor = null,
    pages = 0;
  do {
    const one = await page(`/v1/operations${state ? `?state=${q(state)}` : ''}`, { limit: 500, cursor, signal });
    items.push(...one.items);
    cursor = one.next;
  } while (cursor && ++pages < MOST_PAGES);
  return { items: items.reverse().slice(0, SHOWN), cut: Boolean(cursor) || items.length > SHOWN };
}

export async function operationsPage(context) {
  const { signal, query } = context,
    state = query.get('state') || '',
    { items, cut } = await newest(state, signal);
  const choice = select([['', 'All'], 'queued', 'running', 'succeeded', 'failed', 'cancelled'], state, {
    id: 'operation-state',
    onchange: () => context.go(`/operations${choice.value ? `?state=${choice.value}` : ''}`),
  });
  return {
    title: 'Operations',
    beside: h('span', { class: 'filter' }, h('label', { for: 'operation-state' }, 'State'), choice),
    content: [
      table(
        'Operations',
        [
          ['Operation', (one) => h('a', { class: 'strong', href: `#/operations/${one.id}` }, title(one))],
          ['State', (one) => [pill(one.state), one.problem && h('p', { class: 'note clip' }, one.problem.title)]],
          ['Asked for', (one) => time(one.createdAt)],
          ['By', (one) => h('span', { class: 'clip' }, one.createdBy)],
          [
            'Took',
            (one) =>
              ENDED.includes(one.state) ? h('span', { class: 'figures' }, took(one.createdAt, one.updatedAt)) : '',
            'right',
          ],
        ],
        items,
        { empty: 'There is no such operation.' },
      ),
      cut &&
        h(
          'p',
          { class: 'hint' },
          `The newest ${items.length} are shown; GET /v1/operations has all of the last 30 days.`,
        ),
    ],
  };
}
