// Domains: the list, and one with its paths and its certificate.
import { all, call, get, q } from './api.js';
import { ask } from './dialog.js';
import { h } from './dom.js';
import { action, attempt, checkbox, field, form, input, select } from './form.js';
import { full, time } from './format.js';
import { changes } from './history.js';
import { listing } from './list.js';
import { announce, tell } from './notice.js';
import { may, refusal } from './session.js';

const CRUMBS = h('p', { class: 'crumbs' }, h('a', { href: '#/domains' }, 'Domains'));
const DAY = 86400000;
const MANY = 500;

function ends(tls) {
  const left = Date.parse(tls.notAfter) - Date.now();
  return h(
    'span',
    { class: left < 14 * DAY ? 'warn' : null },
    'until ',
    h('time', { datetime: tls.notAfter }, full(tls.notAfter).slice(0, 10)),
  );
}

export async function domainsPage({ signal }) {
  const content = await listing(
    'Domains',
    '/v1/domains',
    [
      ['Host', (one) => h('a', { class: 'strong', href: `#/domains/${q(one.host)}` }, one.host)],
      [
        'Paths',
        (one) =>
          h(
            'ul',
            { class: 'plain-list' },
            one.paths.map((path) =>
              h('li', null, h('code', null, path.prefix), ' → ', h('a', { href: `#/apps/${q(path.app)}` }, path.app)),
            ),
          ),
      ],
      ['Certificate', (one) => (one.tls ? ends(one.tls) : h('span', { class: 'quiet' }, 'none'))],
      ['Changed', (one) => time(one.updatedAt)],
    ],
    { signal, empty: 'There is no domain. Each app is served below the base domain without one.' },
  );
  const off = refusal('putDomain');
  return {
    title: 'Domains',
    beside: off
      ? h('span', { class: 'quiet' }, off)
      : h('a', { class: 'button primary', href: '#/domain/new' }, 'Add a domain'),
    content,
  };
}

// A choice of apps; where there are too many to choose from, their name.
function appControl(app, apps, disabled) {
  if (apps.length >= MANY) return input({ value: app || '', disabled });
  return select([...new Set([app, ...apps].filter(Boolean))], app || apps[0], { disabled });
}

// Rows of prefix, app, stripPrefix. `read` gives them as the API takes them.
function pathsEditor(paths, apps) {
  const off = !may('putDomain');
  let rows = [];
  const list = h('div', { class: 'paths' });
  const add = (path, focus) => {
    const prefix = input({ value: path.prefix, class: 'code', disabled: off }),
      app = appControl(path.app, apps, off);
    const strip = checkbox('Take the prefix off', { checked: path.stripPrefix, disabled: off });
    const row = {
      prefix,
      app,
      strip,
      fields: [field({ label: 'Prefix', control: prefix }), field({ label: 'App', control: app })],
    };
    row.element = h(
      'div',
      { class: 'path-row', role: 'group' },
      row.fields,
      strip,
      !off &&
        h(
          'button',
          {
            type: 'button',
            class: 'button small',
            onclick: () => {
              rows = rows.filter((one) => one !== row);
              row.element.remove();
              number();
              announce('The path is taken out; it counts when it is saved.');
              more.focus();
            },
          },
          'Take out',
        ),
    );
    rows.push(row);
    list.append(row.element);
    number();
    if (focus) prefix.focus();
  };
  const number = () =>
    rows.forEach((row, i) => {
      row.element.setAttribute('aria-label', `Path ${i + 1}`);
      (row.fields[0].pointer = `/paths/${i}/prefix`), (row.fields[1].pointer = `/paths/${i}/app`);
    });
  const more = h(
    'button',
    { type: 'button', class: 'button', onclick: () => add({ prefix: '/', app: apps[0] }, true) },
    'Add a path',
  );
  paths.forEach((one) => add(one));
  return {
    element: h('div', null, list, !off && more),
    read: () =>
      rows.map((row) => ({
        prefix: row.prefix.value.trim() || '/',
        app: row.app.value.trim(),
        stripPrefix: row.strip.control.checked,
      })),
  };
}

const appNames = async (signal) => (await all('/v1/apps', signal, MANY)).map((one) => one.name);

export async function newDomainPage(context) {
  const apps = await appNames(context.signal),
    host = input({ class: 'code' });
  const editor = pathsEditor([{ prefix: '/', app: apps[0] }], apps);
  const hostField = field({
    label: 'Host',
    control: host,
    hint: 'A name such as shop.example.com, or *.example.com for all names below.',
    parameter: 'host',
  });
  const element = form({
    call: 'putDomain',
    label: 'Add the domain',
    children: [hostField, h('fieldset', null, h('legend', null, 'Paths'), editor.element)],
    save: async () => {
      const name = host.value.trim();
      if (!name) {
        hostField.showFault('is missing');
        host.focus();
        return;
      }
      const domain = await call('PUT', `/v1/domains/${q(name)}`, { json: { paths: editor.read() }, create: true });
      tell(`${domain.host} is in force.`);
      context.go(`/domains/${q(domain.host)}`);
    },
  });
  return {
    title: 'Add a domain',
    above: CRUMBS,
    content: apps.length
      ? h('section', { class: 'panel' }, element)
      : h('p', { class: 'empty' }, 'A domain leads to apps: deploy one first.'),
  };
}

const fileText = (label, pointer) => {
  const control = h('input', { type: 'file', accept: '.pem,.crt,.key,application/x-pem-file' });
  return field({ label, control, pointer });
};

function certificate(domain, path, context) {
  const tls = domain.tls,
    trouble = h('div');
  const chain = fileText('Certificate and chain (PEM)', '/tls/certificatePem'),
    key = fileText('Private key (PEM)', '/tls/privateKeyPem');
  const put = (value) =>
    call('PUT', path, {
      json: { paths: domain.paths.map(({ prefix, app, stripPrefix }) => ({ prefix, app, stripPrefix })), tls: value },
      ifMatch: domain.revision,
    });
  const row = (name, value) => [h('dt', null, name), h('dd', null, value)];
  return [
    tls
      ? h(
          'dl',
          { class: 'facts' },
          row('Subject', tls.subject),
          row('Issuer', tls.issuer),
          row('For', (tls.names || []).join(', ')),
          row('Key', tls.keyType),
          row('Counts', [full(tls.notBefore).slice(0, 10), ' ', ends(tls)]),
          row('Fingerprint', h('code', { class: 'wrap' }, tls.fingerprint)),
        )
      : h('p', { class: 'quiet' }, 'It has no certificate of its own.'),
    form({
      call: 'putDomain',
      label: tls ? 'Replace the certificate' : 'Give it a certificate',
      reload: () => context.refresh(),
      children: h('div', { class: 'grid' }, chain, key),
      more:
        tls &&
        action('Remove it', {
          call: 'putDomain',
          tone: 'danger',
          onclick: async () => {
            if (
              !(await ask({
                title: 'Remove the certificate?',
                text: `Browsers that call ${domain.host} by https will refuse it, unless another certificate covers it.`,
                yes: 'Remove',
              }))
            )
              return;
            const take = async () => {
              await put(null);
              await context.refresh({ focus: 'certificate-heading' });
              tell('The certificate is removed.');
            };
            await attempt(trouble, take, () => context.refresh());
          },
        }),
      save: async () => {
        const missing = [chain, key].filter((one) => !one.control.files.length);
        missing.forEach((one) => one.showFault('choose a file'));
        if (missing.length) {
          missing[0].control.focus();
          return;
        }
        await put({
          certificatePem: await chain.control.files[0].text(),
          privateKeyPem: await key.control.files[0].text(),
        });
        await context.refresh({ focus: 'certificate-heading' });
        tell('The certificate is in force within a second.');
      },
    }),
    trouble,
  ];
}

// Null when it is not there.
const readDomain = (path, signal) =>
  get(path, signal).catch((problem) => {
    if (problem.status === 404) return null;
    throw problem;
  });

// The history of a domain outlives it, and can bring it back.
async function pastOf(host, path, context) {
  const shown = changes({ base: path, what: host, undoCall: 'undoDomainChange', context }).catch((problem) => {
    if (problem.name === 'AbortError') throw problem;
    return h('p', { class: 'quiet' }, problem.message);
  });
  return h('section', { class: 'panel' }, h('h2', null, 'History'), await shown);
}

export async function domainPage(context) {
  const { names, signal } = context,
    host = names.host,
    path = `/v1/domains/${q(host)}`;
  const [domain, apps] = await Promise.all([readDomain(path, signal), appNames(signal)]);
  const history = await pastOf(host, path, context);
  if (!domain)
    return {
      title: host,
      above: CRUMBS,
      content: [h('p', { class: 'strip' }, 'There is no such domain now.'), history],
    };
  const editor = pathsEditor(domain.paths, apps);
  const trouble = h('div');
  const end = async () => {
    await call('DELETE', path, { ifMatch: domain.revision });
    await context.refresh();
    tell(`${host} is deleted.`);
  };
  const remove = action('Delete', {
    call: 'deleteDomain',
    tone: 'danger',
    onclick: async () => {
      const text = 'Its paths lead nowhere from then on. This can be undone here, while the apps are there.';
      if (await ask({ title: `Delete ${host}?`, text, yes: 'Delete' }))
        await attempt(trouble, end, () => context.refresh());
    },
  });
  return {
    title: host,
    above: CRUMBS,
    beside: h('div', { class: 'actions' }, remove),
    content: [
      trouble,
      h(
        'section',
        { class: 'panel' },
        h('h2', { id: 'paths-heading', tabindex: '-1' }, 'Paths'),
        form({
          call: 'putDomain',
          label: 'Save the paths',
          reload: () => context.refresh(),
          children: editor.element,
          save: async () => {
            await call('PUT', path, { json: { paths: editor.read() }, ifMatch: domain.revision });
            await context.refresh({ focus: 'paths-heading' });
            tell('The paths are in force.');
          },
        }),
      ),
      h(
        'section',
        { class: 'panel' },
        h('h2', { id: 'certificate-heading', tabindex: '-1' }, 'Certificate'),
        certificate(domain, path, context),
      ),
      history,
    ],
  };
}
