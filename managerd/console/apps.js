// The list of apps, each with how it is.
import { get, q } from './api.js';
import { h, replace } from './dom.js';
import { percent, pill, time } from './format.js';
import { field, form, input } from './form.js';
import { refusal } from './session.js';
import { listing } from './list.js';

const AT_ONCE = 4;

// What the status says beyond whether it serves; an older managerd tells less.
function notes(status) {
  const told = [];
  if (status.canary) told.push('canary runs');
  const running = (status.operations || []).length;
  if (running) told.push(`${running} operation${running > 1 ? 's' : ''} under way`);
  if (status.lastDeployment && status.lastDeployment.state === 'failed') told.push('last deployment failed');
  if (status.drift && status.drift.state === 'drifted') told.push('AWS differs');
  return told.join(', ');
}

export const serving = (traffic) =>
  traffic && traffic.versions && traffic.versions.length
    ? traffic.versions.map((one) => `v${one.version}\u00a0${percent(one.percent)}`).join(' · ')
    : '–';

async function fill(rows, signal) {
  const next = async () => {
    const row = rows.shift();
    if (!row) return;
    try {
      const status = await get(`/v1/apps/${q(row.app.name)}/status`, signal);
      const note = notes(status);
      const health = status.health && status.health !== 'unknown' && pill(status.health);
      replace(row.state, pill(status.status), health, note && h('span', { class: 'note' }, note));
      replace(row.traffic, serving(status.traffic));
    } catch (problem) {
      if (problem.name === 'AbortError') return;
      replace(row.state, pill('unknown', problem.message));
    }
    await next();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

// Where there are more apps than a page holds: to one of them by its name.
function jump(go) {
  const name = input({ maxlength: 63 });
  return form({
    label: 'Open',
    tone: '',
    class: 'filter-form',
    children: h('div', { class: 'grid' }, field({ label: 'Name of an app', control: name })),
    save: async () => name.value.trim() && go(`/apps/${q(name.value.trim())}`),
  });
}

export async function appsPage({ signal, query, go }) {
  let many = false;
  const label = query.get('label'),
    rows = new Map();
  const parts = (app) => {
    if (!rows.has(app.name))
      rows.set(app.name, {
        app,
        state: h('div', { class: 'state-cell' }, pill(app.enabled ? '…' : 'inactive')),
        traffic: h('span', { class: 'figures' }, '…'),
      });
    return rows.get(app.name);
  };
  const columns = [
    [
      'App',
      (app) => [
        h('a', { class: 'strong', href: `#/apps/${q(app.name)}` }, app.name),
        app.description && h('p', { class: 'note clip' }, app.description),
      ],
    ],
    ['State', (app) => parts(app).state],
    ['Traffic', (app) => parts(app).traffic],
    [
      'Labels',
      (app) =>
        h(
          'span',
          { class: 'labels' },
          Object.entries(app.labels || {}).map(([name, value]) =>
            h('a', { class: 'label', href: `#/apps?label=${q(`${name}:${value}`)}` }, `${name}: ${value}`),
          ),
        ),
    ],
    ['Changed', (app) => time(app.updatedAt)],
  ];
  const content = await listing('Apps', `/v1/apps${label ? `?label=${q(label)}` : ''}`, columns, {
    signal,
    empty: label ? 'No app has this label.' : 'There is no app yet. The first deployment makes one.',
    onpage: (items, next) => {
      many = many || Boolean(next);
      fill(items.map(parts), signal);
    },
  });
  const reason = refusal('deploy');
  return {
    title: 'Apps',
    beside: reason
      ? h('span', { class: 'quiet' }, reason)
      : h('a', { class: 'button primary', href: '#/deploy' }, 'Deploy an app'),
    below:
      label &&
      h(
        'p',
        { class: 'filter' },
        'With the label ',
        h('strong', null, label),
        ' ',
        h('a', { href: '#/apps' }, 'Show all'),
      ),
    content: [many && h('section', { class: 'panel' }, jump(go)), content],
  };
}
