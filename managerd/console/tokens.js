// Tokens of the API: made with role, scope and end; the secret is shown once; revoked.
import { call, q } from './api.js';
import { ask } from './dialog.js';
import { h, replace } from './dom.js';
import { action, attempt, busy, field, form, input, select } from './form.js';
import { full, time } from './format.js';
import { listing } from './list.js';
import { announce, tell } from './notice.js';

const ROLES = [
  ['viewer', 'viewer: reads'],
  ['deployer', 'deployer: also deploys and shifts traffic'],
  ['admin', 'admin: all'],
];

// Without a secure context there is no clipboard API; the older way works from a click.
async function copy(control) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(control.value);
      return true;
    } catch {
      // not allowed here: the older way
    }
  }
  control.select();
  return document.execCommand('copy');
}

// The answer came twice, and the first was lost: the secret was in that one alone.
function lostBox(token, done) {
  const text = ' is made, but its secret was in the answer that was lost. Revoke it, and make another.';
  return h(
    'div',
    { class: 'strip bad secret-box', role: 'alert' },
    h('p', null, h('strong', null, token.name), text),
    h('div', { class: 'copy' }, h('button', { type: 'button', class: 'button', onclick: done }, 'Show the list')),
  );
}

function secretBox(token, done) {
  const control = h('input', {
    type: 'text',
    readonly: true,
    value: token.secret,
    class: 'code secret',
    'aria-label': 'The new token',
    autocomplete: 'off',
  });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'button primary',
      onclick: () =>
        busy(button, async () => {
          announce((await copy(control)) ? 'Copied.' : 'Copy it by hand: it is selected.');
          button.textContent = 'Copied';
        }),
    },
    'Copy',
  );
  const close = h(
    'button',
    {
      type: 'button',
      class: 'button',
      onclick: () => {
        control.value = '';
        done();
      },
    },
    'I have it',
  );
  return h(
    'div',
    { class: 'strip good secret-box', role: 'group', 'aria-label': `The secret of ${token.name}` },
    h('p', null, h('strong', null, token.name), ' is made. This is the only time that its secret is shown:'),
    h('div', { class: 'copy' }, control, button, close),
  );
}

function newToken(place, context) {
  const name = input({ maxlength: 100 }),
    role = select(ROLES, 'viewer'),
    apps = input({ class: 'code' }),
    until = input({ type: 'datetime-local' });
  return form({
    call: 'createToken',
    label: 'Make the token',
    children: h(
      'div',
      { class: 'grid' },
      field({ label: 'Name', control: name, pointer: '/name', hint: 'Whose it is, or what for.' }),
      field({ label: 'Role', control: role, pointer: '/role' }),
      field({
        label: 'Apps',
        control: apps,
        pointer: '/apps',
        hint: 'Names and prefixes, such as shop, team-*. Empty: all.',
      }),
      field({ label: 'Ends', control: until, pointer: '/expiresAt', hint: 'Empty: never.' }),
    ),
    save: async () => {
      const scope = apps.value.split(/[\s,]+/).filter(Boolean);
      const token = await call('POST', '/v1/tokens', {
        json: {
          name: name.value.trim(),
          role: role.value,
          apps: scope.length ? scope : null,
          expiresAt: until.value ? new Date(until.value).toISOString() : null,
        },
      });
      name.value = apps.value = until.value = '';
      const shown = token.secret ? secretBox : lostBox;
      const box = shown(token, () => {
        replace(place);
        context.refresh({ focus: 'tokens-heading' });
      });
      replace(place, box);
      box.querySelector('button').focus();
      if (token.secret) announce('The token is made. Copy its secret now: it is not shown again.');
    },
  });
}

export async function tokensPage(context) {
  const place = h('div'),
    trouble = h('div');
  const revoke = (one) => async () => {
    if (
      !(await ask({
        title: `Revoke ${one.name}?`,
        text: 'The next call with it is refused. It cannot be undone.',
        yes: 'Revoke',
      }))
    )
      return;
    await attempt(trouble, async () => {
      await call('DELETE', `/v1/tokens/${q(one.id)}`);
      await context.refresh({ focus: 'tokens-heading' });
      tell(`${one.name} is revoked.`);
    });
  };
  const content = await listing(
    'Tokens',
    '/v1/tokens',
    [
      [
        'Name',
        (one) => [
          h('span', { class: 'strong' }, one.name || one.id),
          one.hint && h('p', { class: 'note' }, h('code', null, `${one.hint}…`)),
        ],
      ],
      ['Role', (one) => one.role],
      ['Apps', (one) => (one.apps ? h('code', null, one.apps.join(', ')) : 'all')],
      [
        'Ends',
        (one) =>
          one.expiresAt
            ? h(
                'time',
                { datetime: one.expiresAt, class: Date.parse(one.expiresAt) < Date.now() ? 'warn' : null },
                full(one.expiresAt),
              )
            : h('span', { class: 'quiet' }, 'never'),
      ],
      [
        'Last used',
        (one) => [time(one.lastUsedAt), one.lastUsedFrom && h('p', { class: 'note' }, `from ${one.lastUsedFrom}`)],
      ],
      [
        'Actions',
        (one) =>
          action('Revoke', {
            call: 'revokeToken',
            tone: 'small',
            'aria-label': `Revoke ${one.name}`,
            onclick: revoke(one),
          }),
      ],
    ],
    { signal: context.signal, empty: 'No token was made here. One that MANAGERD_TOKEN names is not listed.' },
  );
  return {
    title: 'Tokens',
    content: [
      place,
      trouble,
      h(
        'section',
        { class: 'panel flush' },
        h('h2', { id: 'tokens-heading', tabindex: '-1' }, 'Tokens in force'),
        content,
      ),
      h('section', { class: 'panel' }, h('h2', null, 'Make a token'), newToken(place, context)),
    ],
  };
}
