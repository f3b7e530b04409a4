// The sign-in page: takes a token, says where it is kept.
import { Problem } from './api.js';
import { h, icon } from './dom.js';
import { checkbox, field, form, input, problemBox } from './form.js';
import { signIn } from './session.js';
import { themeSwitch } from './theme.js';

export function signInPage(enter, problem) {
  document.title = 'Sign in · app-orchestrator';
  const token = input({ type: 'password', name: 'token', required: true, autocomplete: 'off' });
  const box = field({
    label: 'Token',
    control: token,
    hint: 'One of this installation’s, such as aot_…; an admin makes them under Tokens.',
  });
  const keep = checkbox(
    'Keep it while this tab is open',
    { checked: true },
    {
      hint: 'In the tab’s session storage, so that a reload does not ask again. Without this it is in memory only. Signing out or closing the tab forgets it either way.',
    },
  );
  const element = form({
    label: 'Sign in',
    children: [box, keep],
    save: async () => {
      const given = token.value.trim();
      if (!/^[\x21-\x7e]+$/.test(given)) {
        box.showFault(given ? 'This is no token: it has spaces or signs that no token has.' : 'Paste it first.');
        token.focus();
        return;
      }
      await signIn(given, keep.control.checked);
      token.value = '';
      enter();
    },
  });
  const expired = problem instanceof Problem && problemBox(problem);
  const page = h(
    'main',
    { class: 'sign-in' },
    h(
      'div',
      { class: 'sign-in-box' },
      h('p', { class: 'mark' }, icon('mark'), 'app-orchestrator'),
      h('h1', null, 'Sign in'),
      expired,
      element,
    ),
    themeSwitch(),
  );
  queueMicrotask(() => token.focus());
  return page;
}
