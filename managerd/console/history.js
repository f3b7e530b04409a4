// What was changed, by whom, member by member; and taking it back.
import { call, page, q } from './api.js';
import { serving } from './apps.js';
import { appFrame, readApp } from './app_frame.js';
import { ask } from './dialog.js';
import { h, replace } from './dom.js';
import { action, attempt } from './form.js';
import { fromTo, json, time, words } from './format.js';
import { tell } from './notice.js';

// Values as people say them, where there is a shorter way than JSON.
function say(pointer, value) {
  if (value === null || value === undefined || value === '') return null;
  if (pointer === '/traffic' && Array.isArray(value.versions)) return value.versions.length ? serving(value) : null;
  if (pointer === '/environment' && Array.isArray(value.names)) return value.names.join(', ') || null;
  return typeof value === 'object' && Object.keys(value).length === 0 ? null : json(value);
}

const side = (text) => (text === null ? h('span', { class: 'quiet' }, 'nothing') : h('code', null, text));

function difference(one) {
  const before = say(one.pointer, one.before),
    after = say(one.pointer, one.after);
  if (before === after && before === null) return null;
  return h('li', null, h('code', { class: 'pointer' }, one.pointer || '/'), fromTo(side(before), side(after)));
}

function entry(change, undo, undoCall) {
  return h(
    'li',
    { class: 'change' },
    h(
      'div',
      { class: 'change-head' },
      h('h3', null, words(change.kind), ' by ', h('code', null, change.action)),
      h('span', { class: 'note' }, time(change.at), ` · ${change.by}`),
      change.operation && h('a', { href: `#/operations/${change.operation}` }, 'operation'),
      change.kind !== 'created' &&
        action('Undo', {
          call: undoCall,
          tone: 'small',
          onclick: undo,
          'aria-label': `Undo what ${change.action} changed`,
        }),
    ),
    h('ul', { class: 'differences' }, (change.changes || []).map(difference)),
  );
}

// The changes of an app or a domain, newest first.
export async function changes({ base, what, undoCall, context }) {
  const trouble = h('div'),
    list = h('ol', { class: 'changes' }),
    below = h('div', { class: 'more' });
  const undo = (change) => async () => {
    if (
      !(await ask({
        title: 'Take this change back?',
        text: `What it set in ${what} is set back to what it was before; later changes of other members stay.`,
        yes: 'Undo it',
        tone: 'primary',
      }))
    )
      return;
    await attempt(trouble, async () => {
      await call('POST', `${base}/history/${q(change.id)}/undo`);
      await context.refresh();
      tell('It is taken back, and in force.');
    });
  };
  const load = async (cursor) => {
    const { items, next } = await page(`${base}/history`, { limit: 30, cursor, signal: context.signal });
    list.append(...items.map((one) => entry(one, undo(one), undoCall)));
    replace(
      below,
      next &&
        h(
          'button',
          { type: 'button', class: 'button', onclick: () => attempt(trouble, () => load(next)) },
          'Show older ones',
        ),
    );
    return items.length;
  };
  const count = await load(null);
  return [trouble, count ? list : h('p', { class: 'empty' }, 'Nothing was changed yet.'), below];
}

export async function historyPage(context) {
  const {
      names: { name },
      signal,
    } = context,
    { app, status, base } = await readApp(name, signal);
  return appFrame(
    app,
    status,
    'History',
    h(
      'section',
      { class: 'panel' },
      h('h2', null, 'Changes'),
      await changes({ base, what: name, undoCall: 'undoAppChange', context }),
    ),
  );
}
