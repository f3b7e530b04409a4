// What all pages of an app share: its name, how it is, its sections.
import { get, q } from './api.js';
import { h } from './dom.js';
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

export async function readApp(name, signal) {
  const base = `/v1/apps/${q(name)}`;
  const [app, status] = await Promise.all([get(base, signal), get(`${base}/status`, signal)]);
  return { app, status, base };
}

// The page of a section: title, navigation, and its content.
export function appFrame(app, status, section, content, beside) {
  const here = path(),
    base = `/apps/${q(app.name)}`;
  return {
    title: section ? `${section} of ${app.name}` : app.name,
    heading: section ? [app.name, h('span', { class: 'section-name' }, section)] : app.name,
    above: h('p', { class: 'crumbs' }, h('a', { href: '#/apps' }, 'Apps')),
    beside: [pill(status.status), beside],
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
