// Addresses after the # to pages: shows one, aborts what the one before still asked for, moves the focus.
import { Problem } from './api.js';
import { h, replace } from './dom.js';
import { problemBox } from './form.js';

let active = false,
  routes = [],
  outlet = null,
  current = null,
  onShown = () => {},
  first = true;

// [['/apps/{name}', page]…]: page(context) gives {title, content} or a promise of it.
export function begin(table, element, shown) {
  routes = table.map(([pattern, page]) => [pattern.split('/'), page]);
  outlet = element;
  onShown = shown;
  active = true;
}

addEventListener('hashchange', () => active && show());

const parts = (path) => path.split('/');
export const path = () => (location.hash.slice(1) || '/apps').split('?')[0];
export const query = () => new URLSearchParams(location.hash.split('?')[1] || '');
export const go = (to) => {
  if (location.hash === `#${to}`) show();
  else location.hash = to;
};

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function find() {
  const here = parts(path());
  for (const [pattern, page] of routes) {
    if (pattern.length !== here.length) continue;
    const names = {};
    if (
      pattern.every((one, i) => (one.startsWith('{') ? (names[one.slice(1, -1)] = decode(here[i])) : one === here[i]))
    )
      return [page, names];
  }
  return [null, {}];
}

// Until the next begin: nothing is shown, nothing is asked for.
export function end() {
  leave();
  active = false;
  first = false;
}

function leave() {
  if (current) current.controller.abort();
  current = null;
}

// What a page is given: `names` of its address, a signal that ends with it, `later` for what is to be done then.
function makeContext(names) {
  const controller = new AbortController();
  return {
    names,
    query: query(),
    signal: controller.signal,
    controller,
    go,
    refresh: (options) => show({ quiet: true, ...options }),
  };
}

function missing() {
  return {
    title: 'Not found',
    content: h('p', null, 'There is no such page. ', h('a', { href: '#/apps' }, 'To the apps')),
  };
}

function failed(problem, context) {
  if (!(problem instanceof Problem)) throw problem;
  const title =
    problem.status === 404 ? 'Not found' : problem.status === 403 ? 'Not for this token' : 'It could not be loaded';
  return {
    title,
    content: [
      problemBox(problem),
      h('p', null, h('button', { type: 'button', class: 'button', onclick: () => context.refresh() }, 'Try again')),
    ],
  };
}

// `quiet`: the same page with fresh figures; focus and scroll stay, on `focus` (an id) when that was redrawn.
export async function show({ quiet = false, focus = null } = {}) {
  const [page, names] = find(),
    context = makeContext(names),
    scroll = scrollY;
  leave();
  current = context;
  outlet.setAttribute('aria-busy', 'true');
  let shown;
  try {
    shown = page ? await page(context) : missing();
  } catch (problem) {
    if (problem.name === 'AbortError' || current !== context) return;
    if (problem.status === 401) return; // the sign-in page is there already
    shown = failed(problem, context);
  }
  if (current !== context) return;
  outlet.removeAttribute('aria-busy');
  document.title = `${shown.title} · app-orchestrator`;
  const heading = h('h1', { tabindex: '-1' }, shown.heading || shown.title);
  replace(
    outlet,
    h(
      'header',
      { class: 'page-head' },
      shown.above,
      h('div', { class: 'page-title' }, heading, shown.beside),
      shown.below,
    ),
    shown.content,
  );
  onShown();
  if (quiet) {
    scrollTo(0, scroll);
    const element = focus && document.getElementById(focus);
    (element || heading).focus({ preventScroll: true });
  } else {
    scrollTo(0, 0);
    if (!first) heading.focus({ preventScroll: true });
  }
  first = false;
}
