// managerd itself: release, readiness, storage, AWS, counts.
import { get } from './api.js';
import { h } from './dom.js';
import { bytes, json, pill, spaced } from './format.js';

function value(one, name) {
  if (one === null || one === undefined) return h('span', { class: 'quiet' }, '–');
  if (/bytes$/i.test(name) && typeof one === 'number') return bytes(one);
  return h('span', { class: 'figures' }, json(one));
}

const facts = (object) =>
  h(
    'dl',
    { class: 'facts' },
    Object.entries(object).map(([name, one]) => [h('dt', null, spaced(name)), h('dd', null, value(one, name))]),
  );

// 503 is an answer too: it lists what is wrong.
async function readiness(signal) {
  const answer = await fetch('/readyz', { signal, cache: 'no-store', credentials: 'omit' });
  return answer.json();
}

export async function systemPage({ signal }) {
  const [system, ready] = await Promise.all([
    get('/v1/system', signal),
    readiness(signal).catch((problem) => {
      if (problem.name === 'AbortError') throw problem;
      return { status: 'unknown', checks: [] };
    }),
  ]);
  const plain = Object.fromEntries(Object.entries(system).filter(([, one]) => typeof one !== 'object' || one === null));
  const parts = Object.entries(system).filter(([, one]) => typeof one === 'object' && one !== null);
  return {
    title: 'System',
    beside: pill(ready.status === 'ready' ? 'ok' : 'failed', ready.status),
    content: [
      h(
        'div',
        { class: 'panels' },
        h('section', { class: 'panel' }, h('h2', null, 'managerd'), facts(plain)),
        h(
          'section',
          { class: 'panel' },
          h('h2', null, 'Readiness'),
          h(
            'ul',
            { class: 'checks' },
            ready.checks.map((one) =>
              h(
                'li',
                null,
                pill(one.ok ? 'ok' : 'failed'),
                ` ${spaced(one.name)}`,
                one.detail && h('p', { class: 'note' }, one.detail),
              ),
            ),
          ),
        ),
        parts.map(([name, one]) =>
          h('section', { class: 'panel' }, h('h2', null, name === 'aws' ? 'AWS' : spaced(name)), facts(one)),
        ),
      ),
      h(
        'p',
        { class: 'hint' },
        'The API behind this console: ',
        h('a', { href: '/openapi.json', target: '_blank', rel: 'noopener noreferrer' }, '/openapi.json'),
      ),
    ],
  };
}
