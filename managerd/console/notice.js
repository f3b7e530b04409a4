// Tells what happened: to eyes as a card that goes, to screen readers by live regions that stay.
import { h } from './dom.js';

const polite = h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
const cards = h('div', { class: 'cards' });

export const regions = [polite, cards];

// For screen readers alone.
export function announce(text) {
  polite.textContent = polite.textContent === text ? `${text}\u00a0` : text;
}

export function tell(text, tone = 'good') {
  const card = h(
    'div',
    { class: `card-notice ${tone}` },
    h('span', null, text),
    h('button', { class: 'plain', type: 'button', 'aria-label': 'Dismiss', onclick: () => card.remove() }, '×'),
  );
  announce(text);
  cards.append(card);
  while (cards.children.length > 3) cards.firstChild.remove();
  setTimeout(() => card.remove(), 8000);
}

export const clearNotices = () => {
  cards.replaceChildren();
  polite.textContent = '';
};
