// Tables of what the API lists, page by page.
import { page } from './api.js';
import { h, replace } from './dom.js';
import { busy, problemBox } from './form.js';
import { announce } from './notice.js';

const MOST_LOOKS = 20;

// columns: [[heading, cell(item), class]…]; the first names the row.
export function table(caption, columns, items, { empty } = {}) {
  const body = h('tbody', { role: 'rowgroup' });
  // The roles are said, since the narrow layout takes away the display that browsers infer them from.
  const head = columns.map(([heading, , tone]) =>
    h('th', { scope: 'col', role: 'columnheader', class: tone }, heading),
  );
  const cells = (item) =>
    columns.map(([heading, cell, tone], i) =>
      i === 0
        ? h('th', { scope: 'row', role: 'rowheader', class: tone }, cell(item))
        : h('td', { role: 'cell', class: tone, 'data-heading': heading }, h('div', null, cell(item))),
    );
  const element = h(
    'div',
    { class: 'table-scroll' },
    h(
      'table',
      { role: 'table' },
      h('caption', { class: 'unseen' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)),
      body,
    ),
  );
  element.add = (more) => more.forEach((item) => body.append(h('tr', { role: 'row' }, cells(item))));
  element.add(items);
  if (items.length === 0) return h('p', { class: 'empty' }, empty || 'Nothing is here yet.');
  return element;
}

// A table with a button for the next page.
export async function listing(caption, path, columns, { signal, limit = 50, empty, sort, onpage = () => {} }) {
  let begin = await page(path, { limit, signal });
  // A page may end before it holds anything that was asked for.
  for (let looks = 0; begin.items.length === 0 && begin.next && looks < MOST_LOOKS; looks++)
    begin = await page(path, { limit, cursor: begin.next, signal });
  const items = sort ? begin.items.sort(sort) : begin.items,
    element = table(caption, columns, items, { empty });
  let next = begin.next;
  onpage(items, next);
  const below = h('div', { class: 'more' });
  const more = h(
    'button',
    {
      type: 'button',
      class: 'button',
      onclick: () =>
        busy(more, async () => {
          try {
            const one = await page(path, { limit, cursor: next, signal });
            next = one.next;
            element.add(one.items);
            onpage(one.items);
            announce(`${one.items.length} more are shown.`);
            if (!next) replace(below);
          } catch (problem) {
            if (problem.name !== 'AbortError') replace(below, problemBox(problem), more);
          }
        }),
    },
    'Show more',
  );
  if (next && items.length) below.append(more);
  return [element, below];
}
