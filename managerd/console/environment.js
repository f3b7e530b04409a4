// The environment variables of the next deployment: names are shown, values only ever go in.
import { call, get } from './api.js';
import { appFrame, readApp } from './app_frame.js';
import { ask } from './dialog.js';
import { h } from './dom.js';
import { action, attempt, field, form, input } from './form.js';
import { table } from './list.js';
import { tell } from './notice.js';

export async function environmentPage(context) {
  const {
      names: { name },
      signal,
    } = context,
    { app, status, base } = await readApp(name, signal);
  const environment = await get(`${base}/environment`, signal),
    names = [...environment.names].sort();
  const key = input({ class: 'code' }),
    value = h('textarea', { rows: 3, autocomplete: 'off', spellcheck: 'false', class: 'code' }),
    trouble = h('div');
  const reload = () => context.refresh();
  const patch = (variables) =>
    call('PATCH', `${base}/environment`, { json: { variables }, ifMatch: environment.revision });
  const keyField = field({
    label: 'Name',
    control: key,
    hint: 'Letters, digits and _, beginning with a letter.',
    pointer: '/variables',
  });
  const add = form({
    call: 'patchEnvironment',
    label: 'Set',
    reload,
    children: [
      h(
        'div',
        { class: 'grid' },
        keyField,
        field({ label: 'Value', control: value, hint: 'It is sealed, and never comes back.' }),
      ),
    ],
    save: async () => {
      const given = key.value.trim();
      if (!given) {
        keyField.showFault('is missing');
        key.focus();
        return;
      }
      await patch({ [given]: value.value });
      value.value = '';
      await context.refresh({ focus: 'variables-heading' });
      tell(`${given} is set for the next deployment.`);
    },
  });
  const remove = (one) => async () => {
    if (
      !(await ask({
        title: `Remove ${one}?`,
        text: 'The next deployment will not have it. Versions that are there keep theirs.',
        yes: 'Remove',
      }))
    )
      return;
    const take = async () => {
      await patch({ [one]: null });
      await context.refresh({ focus: 'variables-heading' });
      tell(`${one} is removed.`);
    };
    await attempt(trouble, take, reload);
  };
  return appFrame(app, status, 'Environment', [
    h(
      'p',
      { class: 'lead' },
      'Variables are frozen into each version when it is deployed: what is set here counts from the next deployment on.',
    ),
    trouble,
    h(
      'section',
      { class: 'panel flush' },
      h('h2', { id: 'variables-heading', tabindex: '-1' }, 'Variables'),
      table(
        'Environment variables',
        [
          ['Name', (one) => h('code', { class: 'strong' }, one)],
          ['Value', () => h('span', { class: 'quiet' }, 'sealed')],
          [
            'Actions',
            (one) =>
              h(
                'div',
                { class: 'row-actions' },
                action('Replace', {
                  call: 'patchEnvironment',
                  tone: 'small',
                  'aria-label': `Replace the value of ${one}`,
                  onclick: () => {
                    key.value = one;
                    value.focus();
                  },
                }),
                action('Remove', {
                  call: 'patchEnvironment',
                  tone: 'small',
                  'aria-label': `Remove ${one}`,
                  onclick: remove(one),
                }),
              ),
          ],
        ],
        names,
        { empty: 'No variable is set.' },
      ),
    ),
    h('section', { class: 'panel' }, h('h2', null, 'Set a variable'), add),
  ]);
}
