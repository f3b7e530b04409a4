// Forms: labelled fields, problems shown beside the field that each is about, buttons that say why they are off.
import { Problem } from './api.js';
import { h, newId, replace } from './dom.js';
import { tell } from './notice.js';
import { refusal } from './session.js';

// A labelled control. `pointer`: where the API names it ("/memoryMb"); `parameter`: in a query.
export function field({ label, control, hint, pointer, parameter, member, inline }) {
  const id = control.id || newId('field'),
    hintId = `${id}-hint`,
    faultId = `${id}-fault`;
  control.id = id;
  const fault = h('p', { class: 'fault', id: faultId, hidden: true });
  const described = [hint && hintId].filter(Boolean);
  if (described.length) control.setAttribute('aria-describedby', described.join(' '));
  const name = h('label', { for: id }, label);
  const box = h(
    'div',
    { class: inline ? 'field inline' : 'field' },
    inline ? [control, name] : [name, control],
    hint && h('p', { class: 'hint', id: hintId }, hint),
    fault,
  );
  box.pointer = pointer;
  box.member = member;
  box.parameter = parameter || (pointer && pointer.split('/').pop());
  box.control = control;
  box.showFault = (text) => {
    fault.textContent = text || '';
    fault.hidden = !text;
    if (text) control.setAttribute('aria-invalid', 'true');
    else control.removeAttribute('aria-invalid');
    const ids = [...described, text && faultId].filter(Boolean);
    if (ids.length) control.setAttribute('aria-describedby', ids.join(' '));
    else control.removeAttribute('aria-describedby');
  };
  return box;
}

export const input = (properties) =>
  h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...properties });
export const checkbox = (label, properties, more) =>
  field({ label, inline: true, control: h('input', { type: 'checkbox', ...properties }), ...more });

export function select(options, value, properties) {
  return h(
    'select',
    { ...properties, value },
    options.map((one) => {
      const [key, text] = Array.isArray(one) ? one : [one, one];
      return h('option', { value: key }, text);
    }),
  );
}

// A button for a call of the API. Where the role does not allow it, it stays reachable and says why.
export function action(label, { call, onclick, tone = '', type = 'button', ...more }) {
  const reason = call ? refusal(call) : null;
  const button = h('button', { type, class: `button ${tone}`, 'data-call': call, ...more }, label);
  if (reason) {
    button.setAttribute('aria-disabled', 'true');
    button.title = reason;
    button.append(h('span', { class: 'unseen' }, ` (${reason})`));
    button.addEventListener('click', (event) => event.preventDefault());
  } else if (onclick) {
    button.addEventListener('click', () => busy(button, onclick));
  }
  return button;
}

// Runs it once at a time, the button saying so meanwhile.
export async function busy(button, run) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  button.classList.add('busy');
  try {
    await run();
  } finally {
    button.removeAttribute('aria-disabled');
    button.classList.remove('busy');
  }
}

// Runs it; what goes wrong is told at `place`, with the focus. What is not a Problem is our own bug: it goes on.
export async function attempt(place, run, reload) {
  replace(place);
  try {
    await run();
  } catch (problem) {
    if (problem.name === 'AbortError' || problem.status === 401) return;
    if (!(problem instanceof Problem)) throw problem;
    if (!place.isConnected) {
      tell(`${problem.title}: ${problem.message}`, 'bad'); // the page was drawn anew meanwhile
      return;
    }
    const box = problemBox(problem, { reload });
    replace(place, box);
    box.focus();
  }
}

function matching(fields, error) {
  const [, member] = /^(\w+): /.exec(error.detail || '') || []; // of a parameter that is JSON itself
  const exact = fields.find(
    (one) =>
      (error.pointer && one.pointer === error.pointer) ||
      (error.parameter && one.parameter === error.parameter && (!one.member || one.member === member)),
  );
  if (exact || !error.pointer) return exact;
  return fields
    .filter((one) => one.pointer && error.pointer.startsWith(`${one.pointer}/`))
    .sort((a, b) => b.pointer.length - a.pointer.length)[0];
}

// A problem as a box: title, what to do, and what has no field of its own.
export function problemBox(problem, { reload, left = problem.errors || [] } = {}) {
  const conflict = problem.status === 412;
  const box = h(
    'div',
    { class: 'problem', role: 'alert', tabindex: '-1' },
    h(
      'p',
      { class: 'problem-title' },
      conflict ? 'Somebody changed this meanwhile' : problem.title || 'Something went wrong',
    ),
    h(
      'p',
      null,
      conflict
        ? 'Nothing was saved, so that their change is not lost. Load what is there now, and make your change again.'
        : problem.message,
    ),
    left.length > 0 &&
      h(
        'ul',
        null,
        left.map((one) => h('li', null, h('code', null, one.pointer || one.parameter || '/'), ` ${one.detail}`)),
      ),
    problem.aws && h('p', null, 'AWS said: ', h('code', null, problem.aws.code || ''), ` ${problem.aws.message || ''}`),
    problem.requestId && h('p', { class: 'hint' }, 'Request ', h('code', null, problem.requestId)),
  );
  if (conflict && reload)
    box.append(h('button', { type: 'button', class: 'button', onclick: reload }, 'Load what is there now'));
  return box;
}

// Shows it on the form: each error at its field, the rest above. What is not a Problem is our own bug: it goes on.
export function showProblem(form, problem, reload) {
  if (!(problem instanceof Problem)) throw problem;
  if (!form.isConnected && problem.status !== 401) tell(`${problem.title}: ${problem.message}`, 'bad');
  const fields = [...form.querySelectorAll('.field')],
    left = [];
  for (const error of problem.errors) {
    const found = matching(fields, error);
    if (found) found.showFault(error.detail);
    else left.push(error);
  }
  const box = problemBox(problem, { reload, left });
  replace(form.querySelector('.form-problem'), box);
  const first = fields.find((one) => one.control.getAttribute('aria-invalid'));
  (first ? first.control : box).focus();
}

export function clearProblem(form) {
  replace(form.querySelector('.form-problem'));
  form.querySelectorAll('.field').forEach((one) => one.showFault(''));
}

// A form whose `save` may throw a Problem. `call` is the operationId that its button needs.
export function form({ children, save, label = 'Save', call, reload, tone = 'primary', more, ...properties }) {
  const button = action(label, { call, type: 'submit', tone });
  const element = h(
    'form',
    { novalidate: true, autocomplete: 'off', ...properties },
    h('div', { class: 'form-problem' }),
    children,
    h('div', { class: 'form-actions' }, button, more),
  );
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    if (call && refusal(call)) return;
    busy(button, async () => {
      clearProblem(element);
      try {
        await save(element);
      } catch (problem) {
        if (problem.name !== 'AbortError') showProblem(element, problem, reload);
      }
    });
  });
  return element;
}

// A number, null when the field is empty; what is no number goes out as text, and the API says what is wrong with it.
export function number(control) {
  const text = control.value.trim();
  return text === '' ? null : Number.isNaN(Number(text)) ? text : Number(text);
}
