// Asks before what cannot be taken back.
import { h, newId } from './dom.js';

// True when it was agreed to. `typed`: what has to be written first.
export function ask({ title, text, yes, typed, tone = 'danger' }) {
  return new Promise((answer) => {
    const heading = newId('dialog'),
      opener = document.activeElement;
    const word = typed && h('input', { type: 'text', autocomplete: 'off', id: `${heading}-typed` });
    const close = (agreed) => {
      dialog.close();
      dialog.remove();
      if (opener && opener.isConnected) opener.focus();
      answer(agreed);
    };
    const agree = h(
      'button',
      { type: 'button', class: `button ${tone}`, disabled: Boolean(typed), onclick: () => close(true) },
      yes,
    );
    if (word)
      word.addEventListener('input', () => {
        agree.disabled = word.value !== typed;
      });
    const dialog = h(
      'dialog',
      { 'aria-labelledby': heading },
      h('h2', { id: heading }, title),
      h('p', null, text),
      word &&
        h(
          'div',
          { class: 'field' },
          h('label', { for: word.id }, 'Write ', h('strong', null, typed), ' to go on'),
          word,
        ),
      h(
        'div',
        { class: 'form-actions' },
        agree,
        h('button', { type: 'button', class: 'button', onclick: () => close(false) }, 'Keep it'),
      ),
    );
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      close(false);
    });
    document.body.append(dialog);
    dialog.showModal();
    (word || dialog.querySelector('button:last-child')).focus();
  });
}
