// Deploys a zip: dropped or chosen, with the settings of the next version, and how it takes traffic.
import { newKey, q, upload, Problem } from './api.js';
import { appFrame, readApp } from './app_frame.js';
import { h, replace } from './dom.js';
import { field, form, input, number, select } from './form.js';
import { bytes } from './format.js';
import { announce } from './notice.js';

const RUNTIMES = [
  'nodejs22.x',
  'nodejs20.x',
  'python3.13',
  'python3.12',
  'python3.11',
  'provided.al2023',
  'java21',
  'ruby3.3',
  'dotnet8',
];
const WAYS = [
  ['all', 'At once', 'All requests, as soon as the version is ready and probed.'],
  ['canary', 'As a canary', 'Share after share while the proxies measure that it does well; back by itself when not.'],
  ['percent', 'A share', 'A part of the traffic; the rest stays as it is.'],
  ['none', 'Not yet', 'The version is made ready, and takes no traffic.'],
];

function dropZone(onfile) {
  const chosen = h('p', { class: 'chosen', 'aria-live': 'polite' });
  const control = h('input', { type: 'file', accept: '.zip,application/zip', onchange: () => take(control.files[0]) });
  const hint = 'Drop a file here, or choose one.';
  const box = field({ label: 'Package (zip)', control, hint, pointer: '/package' });
  const take = (file) => {
    if (!file) return;
    chosen.textContent = `${file.name}, ${bytes(file.size)}`;
    box.showFault('');
    onfile(file);
  };
  const zone = h('div', { class: 'drop' }, box, chosen);
  const over = (event, on) => {
    event.preventDefault();
    zone.classList.toggle('over', on);
  };
  zone.addEventListener('dragover', (event) => over(event, true));
  zone.addEventListener('dragleave', (event) => over(event, false));
  zone.addEventListener('drop', (event) => {
    over(event, false);
    if (!event.dataTransfer.files.length) return;
    control.files = event.dataTransfer.files;
    take(control.files[0]);
  });
  return zone;
}

function traffic() {
  const percent = input({ type: 'number', min: 0, max: 100, step: '0.01', value: '10', inputmode: 'decimal' });
  const canary = {
    steps: input({ value: '1, 10, 50, 100' }),
    intervalSeconds: input({ type: 'number', value: '60', min: 1 }),
    maxErrorRate: input({ type: 'number', value: '0.02', min: 0, max: 1, step: '0.001' }),
    maxLatencyP99Ms: input({ type: 'number', min: 1 }),
    minRequests: input({ type: 'number', value: '50', min: 1 }),
    maxHoldSeconds: input({ type: 'number', value: '3600', min: 1 }),
  };
  const part = (name, label, hint) => field({ label, control: canary[name], hint, parameter: 'canary', member: name });
  const more = {
    percent: field({ label: 'Percent', control: percent, parameter: 'traffic' }),
    canary: h(
      'div',
      { class: 'grid' },
      part('steps', 'Shares in percent', 'Rising, the last is 100.'),
      part('intervalSeconds', 'Seconds for each, at least'),
      part('maxErrorRate', 'Errors at most (0 to 1)'),
      part('maxLatencyP99Ms', 'p99 at most, in ms', 'Empty: times are not judged.'),
      part('minRequests', 'Requests before it is judged'),
      part('maxHoldSeconds', 'Seconds it may wait for figures', 'Then it goes back. Empty: one hour.'),
    ),
  };
  const place = h('div', { class: 'way-more' });
  let way = 'all';
  const radios = WAYS.map(([value, label, hint]) =>
    field({
      inline: true,
      label,
      hint,
      control: h('input', {
        type: 'radio',
        name: 'way',
        value,
        checked: value === way,
        onchange: () => {
          way = value;
          replace(place, more[way]);
        },
      }),
    }),
  );
  const query = () => {
    if (way === 'canary') {
      const value = { steps: canary.steps.value.split(',').map((one) => (one.trim() === '' ? null : Number(one))) };
      for (const name of ['intervalSeconds', 'maxErrorRate', 'maxLatencyP99Ms', 'minRequests', 'maxHoldSeconds'])
        if (number(canary[name]) !== null) value[name] = number(canary[name]);
      return { canary: JSON.stringify(value) };
    }
    if (way === 'percent') return { traffic: JSON.stringify({ percent: number(percent) }) };
    return { traffic: way };
  };
  return {
    query,
    element: h('fieldset', null, h('legend', null, 'How it takes traffic'), h('div', { class: 'ways' }, radios), place),
  };
}

function settingsFields(app) {
  const control = {
    runtime: select([...new Set([app.runtime, ...RUNTIMES])], app.runtime),
    handler: input({ value: app.handler }),
    memoryMb: input({ type: 'number', value: String(app.memoryMb), min: 128, max: 10240 }),
    timeoutSeconds: input({ type: 'number', value: String(app.timeoutSeconds), min: 1, max: 900 }),
    payloadFormat: select(['2.0', '1.0', 'alb'], app.http.payloadFormat),
    responseMode: select(['buffered', 'stream', 'auto'], app.http.responseMode),
    description: input({ maxlength: 200 }),
  };
  const of = (name, label, hint) => field({ label, hint, control: control[name], parameter: name });
  const fields = h(
    'div',
    { class: 'grid' },
    of('runtime', 'Runtime'),
    of('handler', 'Handler'),
    of('memoryMb', 'Memory in MiB'),
    of('timeoutSeconds', 'Timeout in seconds'),
    of('payloadFormat', 'Payload format'),
    of('responseMode', 'Response mode'),
    of('description', 'What this version is'),
  );
  return {
    fields,
    query: () =>
      Object.fromEntries(
        Object.entries(control)
          .map(([name, one]) => [name, one.value.trim()])
          .filter(([, value]) => value !== ''),
      ),
  };
}

const FIRST = {
  runtime: 'nodejs22.x',
  handler: 'index.handler',
  memoryMb: 128,
  timeoutSeconds: 30,
  http: { payloadFormat: '2.0', responseMode: 'buffered' },
};

// Shows how much of the file is sent.
function progressBar(oncancel) {
  const meter = h('progress', { max: 100, value: 0, 'aria-label': 'Upload' }),
    text = h('span', { class: 'figures' });
  const cancel = h('button', { type: 'button', class: 'button small', onclick: oncancel }, 'Cancel the upload');
  let told = 0;
  return {
    element: h('div', { class: 'upload' }, meter, text, cancel),
    set(share) {
      const percent = Math.floor(share * 100);
      meter.value = percent;
      text.textContent = percent < 100 ? `${percent} % is sent` : 'Sent; managerd looks at it';
      if (percent - told >= 25) announce(`${(told = percent)} percent is sent.`);
    },
  };
}

function deployForm(app, context) {
  let file = null,
    key = newKey(),
    before = '';
  const zone = dropZone((given) => {
      file = given;
      key = newKey();
    }),
    settings = settingsFields(app || FIRST),
    way = traffic(),
    place = h('div');
  const name = app
    ? null
    : field({
        label: 'App',
        control: input({ maxlength: 63 }),
        hint: 'Lower-case letters, digits and -, beginning with a letter. It is made if it is not there.',
        parameter: 'name',
      });
  return form({
    call: 'deploy',
    label: 'Deploy',
    class: 'deploy',
    children: [
      name,
      zone,
      h('fieldset', null, h('legend', null, 'Settings of this version and the next ones'), settings.fields),
      way.element,
      place,
    ],
    save: async () => {
      const errors = [];
      if (!file) errors.push({ pointer: '/package', detail: 'choose a zip' });
      if (name && !name.control.value.trim()) errors.push({ parameter: 'name', detail: 'is missing' });
      if (errors.length) throw new Problem(422, { title: 'Something is missing', detail: 'Nothing was sent.', errors });
      const query = new URLSearchParams({ ...settings.query(), ...way.query() }).toString();
      if (query !== before) key = newKey(); // another wish, another intent
      before = query;
      const sending = new AbortController(),
        progress = progressBar(() => sending.abort());
      context.signal.addEventListener('abort', () => sending.abort());
      replace(place, progress.element);
      progress.set(0);
      try {
        const to = `/v1/apps/${q(app ? app.name : name.control.value.trim())}/deployments?${query}`;
        const operation = await upload(to, file, { key, signal: sending.signal, onprogress: progress.set });
        context.go(`/operations/${operation.id}`);
      } catch (problem) {
        replace(place);
        if (problem.status) key = newKey();
        if (problem.name === 'AbortError') announce('The upload is cancelled.');
        throw problem;
      }
    },
  });
}

export async function deployPage(context) {
  const {
    names: { name },
    signal,
  } = context;
  if (!name)
    return {
      title: 'Deploy an app',
      above: h('p', { class: 'crumbs' }, h('a', { href: '#/apps' }, 'Apps')),
      content: deployForm(null, context),
    };
  const { app, status } = await readApp(name, signal);
  return appFrame(app, status, 'Deploy', deployForm(app, context));
}
