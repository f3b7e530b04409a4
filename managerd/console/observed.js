// What is observed of an app: its health, what the proxies counted, what AWS has, and what differs from what was deployed.
import { call, q } from './api.js';
import { h } from './dom.js';
import { action, attempt, select } from './form.js';
import { fromTo, json, percent, pill, spaced, time, words } from './format.js';
import { table } from './list.js';

const POLICIES = [
  ['', 'as the app’s policy says'],
  ['alert', 'and only tell'],
  ['repair', 'and repair'],
  ['accept', 'and accept'],
];
// What has a place of its own, here or elsewhere on the page.
const PLACED = ['app', 'status', 'traffic', 'canary', 'latestVersion', 'operations', 'lastDeployment', 'revision'];
const HERE = [
  'health',
  'versions',
  'drift',
  'lastCheckedAt',
  'ageSeconds',
  'checking',
  'checkFailure',
  'trafficSeenAt',
];

function seen(figures) {
  if (!figures) return h('span', { class: 'quiet' }, 'not asked');
  const parts = [`${figures.calls} calls`, `${figures.errors} errors`];
  if (figures.calls) parts.push(`p99 ${Math.round(figures.latencyP99Ms)} ms`);
  if (figures.silent) parts.push(`${figures.silent} ${figures.silent > 1 ? 'proxies' : 'proxy'} silent`);
  return h('span', { class: 'figures' }, parts.join(' · '));
}

const versions = (status) =>
  table(
    'What the proxies counted',
    [
      ['Version', (one) => h('span', { class: 'strong' }, `v${one.version}`)],
      ['Health', (one) => [pill(one.health), one.exists === false && h('p', { class: 'note' }, 'AWS has it no more')]],
      ['Traffic', (one) => percent(one.percent), 'right'],
      ['Since the proxies started', (one) => seen(one.seen)],
      [
        'On AWS',
        (one) => [one.state || '–', one.codeMatches === false && h('p', { class: 'warn' }, 'with other code')],
      ],
    ],
    status.versions,
  );

const differences = (items) =>
  h(
    'ul',
    { class: 'differences' },
    items.map((one) =>
      h(
        'li',
        null,
        h('span', { class: 'strong' }, words(one.kind)),
        one.version && `version ${one.version}`,
        one.field && h('code', { class: 'pointer' }, one.field),
        one.field && fromTo(h('code', null, json(one.expected ?? null)), h('code', null, json(one.observed ?? null))),
      ),
    ),
  );

function drift(app, status, place, context) {
  const policy = select(POLICIES, '', { 'aria-label': 'What to do about it' });
  const compare = () =>
    attempt(place, async () => {
      const wanted = policy.value ? `?policy=${policy.value}` : '';
      const operation = await call('POST', `/v1/apps/${q(app.name)}/sync${wanted}`);
      context.go(`/operations/${operation.id}`);
    });
  const { state, items, policy: own } = status.drift;
  return [
    h('h3', null, 'Against AWS'),
    h(
      'p',
      null,
      pill(state === 'none' ? 'in step' : state),
      own && h('span', { class: 'note' }, ` The app’s policy is ${own}.`),
    ),
    items && items.length > 0 && differences(items),
    h('div', { class: 'adding' }, action('Compare with AWS now', { call: 'syncApp', onclick: compare }), policy),
  ];
}

function rest(status) {
  const left = Object.entries(status).filter(
    ([name, value]) => ![...PLACED, ...HERE].includes(name) && value !== null && value !== undefined,
  );
  const show = (value) =>
    Array.isArray(value) || typeof value !== 'object'
      ? json(value)
      : h(
          'ul',
          { class: 'plain-list' },
          Object.entries(value)
            .filter(([, one]) => one !== null)
            .map(([name, one]) => h('li', null, `${spaced(name)}: `, h('span', { class: 'figures' }, json(one)))),
        );
  return h(
    'dl',
    { class: 'facts' },
    left.map(([name, value]) => [h('dt', null, spaced(name)), h('dd', null, show(value))]),
  );
}

export function observed(app, status, place, context) {
  const failure = status.checkFailure;
  return [
    failure && h('p', { class: 'strip bad' }, `AWS could not be looked at (${failure.code}): ${failure.message}`),
    status.lastCheckedAt !== undefined &&
      h('p', { class: 'note' }, 'AWS was looked at ', time(status.lastCheckedAt), '.'),
    status.versions && status.versions.length > 0 && h('div', { class: 'inset' }, versions(status)),
    status.drift && drift(app, status, place, context),
    rest(status),
  ];
}
