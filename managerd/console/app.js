// The page of an app: where it is served, who serves, its versions, and what can be done at once.
import { all, call, get, q } from './api.js';
import { appFrame, readApp, whenKnown } from './app_frame.js';
import { ask } from './dialog.js';
import { h, replace } from './dom.js';
import { action, attempt } from './form.js';
import { bytes, pill, time } from './format.js';
import { table } from './list.js';
import { tell } from './notice.js';
import { observed } from './observed.js';
import { follow } from './operations.js';
import { trafficEditor } from './traffic.js';

const acting = (place, context, run) => () => attempt(place, run, () => context.refresh());

function actions({ app, base }, place, context) {
  const post = (path, said, id) =>
    acting(place, context, async () => {
      await call('POST', `${base}${path}`); // without a condition: whoever rolls back means it
      await context.refresh({ focus: id });
      tell(said);
    });
  return h(
    'div',
    { class: 'actions' },
    h('a', { class: 'button primary', href: `#/apps/${q(app.name)}/deploy` }, 'Deploy'),
    action('Roll back', {
      call: 'rollback',
      id: 'roll-back',
      onclick: post('/rollback', 'Rolled back: what served before serves again.', 'roll-back'),
    }),
    app.enabled
      ? action('Deactivate', {
          call: 'deactivate',
          id: 'switch',
          onclick: async () => {
            if (
              await ask({
                title: `Deactivate ${app.name}?`,
                text: 'Every request for it is answered with 404, until it is activated again.',
                yes: 'Deactivate',
              })
            )
              await post('/deactivate', `${app.name} answers 404 now.`, 'switch')();
          },
        })
      : action('Activate', {
          call: 'activate',
          id: 'switch',
          tone: 'primary',
          onclick: post('/activate', `${app.name} serves again.`, 'switch'),
        }),
  );
}

function places(app) {
  const row = (name, value) => [h('dt', null, name), h('dd', null, value)];
  return h(
    'dl',
    { class: 'facts' },
    row(
      'Served at',
      (app.urls || []).map((url) =>
        h(
          'a',
          { href: url, rel: 'noopener noreferrer', target: '_blank' },
          url,
          h('span', { class: 'unseen' }, ' (new tab)'),
        ),
      ),
    ),
    (app.domains || []).length > 0 &&
      row(
        'Domains',
        app.domains.map((host) => h('a', { href: `#/domains/${q(host)}` }, host)),
      ),
    row('Function', h('code', null, app.function.name)),
    row('Next deployment', `${app.runtime}, ${app.handler}, ${app.memoryMb} MiB, ${app.timeoutSeconds} s`),
    Object.keys(app.labels || {}).length > 0 &&
      row(
        'Labels',
        h(
          'span',
          { class: 'labels' },
          Object.entries(app.labels).map(([name, value]) =>
            h('a', { class: 'label', href: `#/apps?label=${q(`${name}:${value}`)}` }, `${name}: ${value}`),
          ),
        ),
      ),
  );
}

function versionsTable({ app, base, traffic }, versions, place, context) {
  const share = new Map(traffic.versions.map((one) => [one.version, one.percent]));
  const serve = (one) =>
    acting(place, context, async () => {
      await call('POST', `${base}/rollback`, { json: { version: one.version } });
      await context.refresh({ focus: 'versions-heading' });
      tell(`Version ${one.version} has all traffic.`);
    });
  const again = (one) =>
    acting(place, context, async () => {
      const operation = await call('POST', `${base}/deployments`, { json: { package: { version: one.version } } });
      context.go(`/operations/${operation.id}`);
    });
  const remove = (one) => async () => {
    if (
      !(await ask({
        title: `Delete version ${one.version}?`,
        text: 'Its code and configuration are gone for good.',
        yes: 'Delete',
      }))
    )
      return;
    await acting(place, context, async () => {
      const operation = await call('DELETE', `${base}/versions/${one.version}`, { ifMatch: one.revision });
      context.go(`/operations/${operation.id}`);
    })();
  };
  return table(
    `Versions of ${app.name}`,
    [
      ['Version', (one) => h('span', { class: 'strong' }, `v${one.version}`)],
      [
        'State',
        (one) => [pill(one.state), one.failure && h('p', { class: 'note' }, one.failure.detail || one.failure.title)],
      ],
      [
        'Traffic',
        (one) => (share.get(one.version) ? `${share.get(one.version)} %` : h('span', { class: 'quiet' }, '–')),
        'right',
      ],
      [
        'Code',
        (one) => [
          `${one.runtime}, ${bytes(one.package && one.package.bytes)}`,
          one.description && h('p', { class: 'note clip' }, one.description),
        ],
      ],
      [
        'Deployed',
        (one) => [time(one.createdAt), one.createdBy && h('p', { class: 'note clip' }, `by ${one.createdBy}`)],
      ],
      [
        'Actions',
        (one) =>
          h(
            'div',
            { class: 'row-actions' },
            one.state === 'ready' &&
              share.get(one.version) !== 100 &&
              action('Serve', {
                call: 'rollback',
                tone: 'small',
                onclick: serve(one),
                'aria-label': `Give version ${one.version} all traffic`,
              }),
            one.state !== 'deleting' &&
              action('Redeploy', {
                call: 'deploy',
                tone: 'small',
                onclick: again(one),
                'aria-label': `Deploy the package of version ${one.version} again`,
              }),
            !share.get(one.version) &&
              one.state !== 'deleting' &&
              one.state !== 'pending' &&
              action('Delete', {
                call: 'deleteVersion',
                tone: 'small',
                onclick: remove(one),
                'aria-label': `Delete version ${one.version}`,
              }),
          ),
      ],
    ],
    versions,
    { empty: 'There is no version yet.' },
  );
}

// Under way: which, and that it has ended, when it has. What is shown is not drawn anew behind anybody's back.
function underWay(status, context) {
  const element = h(
    'p',
    { class: 'strip', role: 'status' },
    'Under way: ',
    status.operations.map((id, i) => [
      i ? ', ' : '',
      h('a', { href: `#/operations/${id}` }, status.canary === id ? 'the canary' : 'an operation'),
    ]),
  );
  const ended = () =>
    replace(
      element,
      'What was under way has ended. ',
      h(
        'button',
        { type: 'button', class: 'button small', onclick: () => context.refresh() },
        'Show what is there now',
      ),
    );
  const last = status.operations[status.operations.length - 1];
  follow(last, () => {}, context.signal).then(
    () => context.signal.aborted || ended(),
    () => {}, // the page is left, or managerd is away: the links lead on
  );
  return element;
}

// What needs an eye: a failed deployment, what is under way.
function news(status, context) {
  const last = status.lastDeployment,
    failed = last && last.state === 'failed';
  const why = failed && last.operation && h('a', { href: `#/operations/${last.operation}` }, 'See why');
  return [
    failed && h('p', { class: 'strip bad' }, 'The last deployment failed. ', why),
    (status.operations || []).length > 0 && underWay(status, context),
  ];
}

export async function appPage(context) {
  const { names, signal } = context,
    place = h('div');
  const { app, status, base } = await readApp(names.name, signal);
  const [traffic, versions] = await Promise.all([get(`${base}/traffic`, signal), all(`${base}/versions`, signal)]);
  versions.sort((a, b) => b.version - a.version);
  return appFrame(
    app,
    status,
    '',
    [
      place,
      whenKnown(status, h('div'), (known) => news(known, context)),
      places(app),
      h(
        'section',
        { class: 'panel' },
        h('h2', { id: 'traffic-heading', tabindex: '-1' }, 'Traffic'),
        trafficEditor({ app, traffic, versions, refresh: context.refresh }),
      ),
      h(
        'section',
        { class: 'panel flush' },
        h('h2', { id: 'versions-heading', tabindex: '-1' }, 'Versions'),
        versionsTable({ app, base, traffic }, versions, place, context),
      ),
      h(
        'section',
        { class: 'panel' },
        h('h2', null, 'Observed'),
        whenKnown(
          status,
          h('div', { class: 'observed' }, h('p', { class: 'quiet' }, 'AWS is being looked at…')),
          (known) => observed(app, known, place, context),
        ),
      ),
    ],
    actions({ app, base }, place, context),
  );
}
