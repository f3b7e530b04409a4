// The audit: who did what, and whether its chain is whole.
import { get, q } from './api.js';
import { h, replace } from './dom.js';
import { field, form, input, problemBox } from './form.js';
import { ago, fromTo, full, json } from './format.js';
import { listing } from './list.js';

function memberList(record) {
  const changes = record.changes || [];
  if (changes.length === 0)
    return record.details
      ? h('code', { class: 'clip' }, json(record.details))
      : h('span', { class: 'quiet' }, record.problem || '–');
  return h(
    'details',
    null,
    h('summary', null, `${changes.length} record${changes.length > 1 ? 's' : ''}`),
    h(
      'ul',
      { class: 'differences' },
      changes.map((one) => [
        h(
          'li',
          null,
          h('code', { class: 'pointer' }, one.record || ''),
          h('span', { class: 'note' }, one.before ? '' : 'new'),
        ),
        (one.members || []).map((member) =>
          h(
            'li',
            null,
            h('code', { class: 'pointer' }, member.pointer || '/'),
            fromTo(h('code', null, json(member.before ?? null)), h('code', null, json(member.after ?? null))),
          ),
        ),
      ]),
    ),
  );
}

async function verification(signal) {
  const found = await get('/v1/audit/verification', signal);
  return found.whole
    ? h(
        'p',
        { class: 'strip good' },
        `The chain is whole: ${found.records} records follow one another, unchanged, up to number ${found.head.sequence}.`,
      )
    : h(
        'p',
        { class: 'strip bad', role: 'alert' },
        `The chain is broken at record ${found.brokenAt}: ${found.problem}`,
      );
}

const FILTERS = [
  ['app', 'App'],
  ['actor', 'Token id'],
  ['requestId', 'Request id'],
];

export async function auditPage(context) {
  const { query, signal } = context,
    wish = new URLSearchParams();
  for (const [name] of FILTERS) if (query.get(name)) wish.set(name, query.get(name));
  const controls = FILTERS.map(([name]) => input({ value: query.get(name) || '' }));
  const chain = h('div', { 'aria-live': 'polite' }, h('p', { class: 'strip' }, 'The chain is being verified…'));
  verification(signal).then(
    (shown) => replace(chain, shown),
    (problem) => {
      if (problem.name !== 'AbortError') replace(chain, problemBox(problem));
    },
  );
  const filter = form({
    label: 'Filter',
    tone: '',
    class: 'filter-form',
    children: h(
      'div',
      { class: 'grid' },
      FILTERS.map(([name, label], i) => field({ label, control: controls[i], parameter: name })),
    ),
    save: async () => {
      const given = FILTERS.map(([name], i) => [name, controls[i].value.trim()]).filter(([, value]) => value);
      context.go(`/audit${given.length ? `?${new URLSearchParams(given)}` : ''}`);
    },
  });
  const content = await listing(
    'Audit',
    `/v1/audit${wish.size ? `?${wish}` : ''}`,
    [
      ['When', (one) => h('time', { datetime: one.time, title: ago(one.time) }, full(one.time))],
      [
        'Who',
        (one) => [
          h('span', { class: 'strong' }, (one.actor && (one.actor.name || one.actor.id)) || '–'),
          h('p', { class: 'note' }, [one.actor && one.actor.role, one.from].filter(Boolean).join(', ')),
        ],
      ],
      ['What', (one) => [h('code', null, one.endpoint), one.path && h('p', { class: 'note clip' }, one.path)]],
      [
        'App',
        (one) => (one.app ? h('a', { href: `#/apps/${q(one.app)}` }, one.app) : h('span', { class: 'quiet' }, '–')),
      ],
      ['Answer', (one) => h('span', { class: one.status >= 400 ? 'warn' : null }, String(one.status ?? '–')), 'right'],
      ['Changes', memberList],
    ],
    { signal, empty: 'There is no such record.' },
  );
  return { title: 'Audit', content: [chain, h('section', { class: 'panel' }, filter), content] };
}
