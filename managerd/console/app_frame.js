// What all pages of an app share: its name, how it is, its sections.
import { get, q } from './api.js';
import { h, replace } from './dom.js';
import { pill } from './format.js';
import { path } from './router.js';

const SECTIONS = [
  ['', 'Overview'],
  ['/deploy', 'Deploy'],
  ['/logs', 'Logs'],
  ['/environment', 'Environment'],
  ['/history', 'History'],
  ['/settings', 'Settings'],
];

// The status is a promise: AWS may be slow to say how the app is, and nobody should wait for that.
export async function readApp(name, signal) {
  const base = `/v1/apps/${q(name)}`,
    status = get(`${base}/status`, signal);
  status.catch(() => {}); // whoever shows it looks at what went wrong
  return { app: await get(base, signal), status, base };
}

// Fills an element as soon as the status is there.
export function whenKnown(status, element, fill) {
  status.then(
    (known) => replace(element, fill(known)),
    (problem) => problem.name === 'AbortError' || replace(element, h('span', { class: 'quiet' }, problem.message)),
  );
  return element;
}

const states = (status) => [pill(status.status), status.health && status.health !== 'unknown' && pill(status.health)];

// The page of a section: title, navigation, and its content.
export function appFrame(app, status, section, content, beside) {
  const here = path(),
    base = `/apps/${q(app.name)}`;
  return {
    title: section ? `${section} of ${app.name}` : app.name,
    heading: section ? [app.name, h('span', { class: 'section-name' }, section)] : app.name,
    above: h('p', { class: 'crumbs' }, h('a', { href: '#/apps' }, 'Apps')),
    beside: [whenKnown(status, h('span', { class: 'states' }, pill(app.enabled ? '…' : 'inactive')), states), beside],
    below: [
      app.description && h('p', { class: 'lead' }, app.description),
      h(
        'nav',
        { class: 'tabs', 'aria-label': `Sections of ${app.name}` },
        h(
          'ul',
          null,
          SECTIONS.map(([to, name]) =>
            h('li', null, h('a', { href: `#${base}${to}`, 'aria-current': here === base + to ? 'page' : null }, name)),
          ),
        ),
      ),
    ],
    content,
  };
}
