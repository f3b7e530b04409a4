// The settings of an app: what acts at once, what waits for the next deployment, and its end.
import { call } from './api.js';
import { appFrame, readApp } from './app_frame.js';
import { ask } from './dialog.js';
import { h } from './dom.js';
import { action, attempt, checkbox, field, form, input, number, select } from './form.js';
import { tell } from './notice.js';

const LIMITS = [
  ['maxInFlight', 'Requests at once, per proxy'],
  ['requestsPerSecond', 'Requests per second'],
  ['burst', 'Burst above that'],
  ['deadlineMs', 'Deadline in ms'],
  ['maxBodyBytes', 'Largest body in bytes'],
];
const NEXT = [
  ['memoryMb', 'Memory in MiB'],
  ['timeoutSeconds', 'Timeout in seconds'],
];
const FLAGS = [
  ['previewUrls', 'Preview addresses', 'v3--NAME reaches version 3'],
  ['versionHeader', 'Version by header', 'clients may ask for one by X-Orchestrator-Version'],
  ['respondAsync', 'Answers later', 'Prefer: respond-async is granted'],
];

const shown = (value) => (value === null || value === undefined ? '' : String(value));

// Labels as lines "name: value".
const labelsText = (labels) =>
  Object.entries(labels || {})
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n');

function readLabels(text, before) {
  const labels = Object.fromEntries(Object.keys(before || {}).map((name) => [name, null])); // a merge patch: null takes away
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const colon = line.indexOf(':');
    labels[(colon < 0 ? line : line.slice(0, colon)).trim()] = colon < 0 ? '' : line.slice(colon + 1).trim();
  }
  return labels;
}

function settingsForm(app, base, context) {
  const description = h('textarea', { rows: 2, value: app.description }),
    labels = h('textarea', { rows: 3, class: 'code', spellcheck: 'false', value: labelsText(app.labels) });
  const limits = Object.fromEntries(
    LIMITS.map(([name]) => [name, input({ type: 'number', min: 0, value: shown(app.limits[name]) })]),
  );
  const next = Object.fromEntries(
    NEXT.map(([name]) => [name, input({ type: 'number', min: 1, value: shown(app[name]) })]),
  );
  const runtime = input({ value: app.runtime }),
    handler = input({ value: app.handler }),
    probe = input({ value: app.probe ? app.probe.path : '' });
  const format = select(['2.0', '1.0', 'alb'], app.http.payloadFormat),
    mode = select(['buffered', 'stream', 'auto'], app.http.responseMode);
  const drift = app.drift && select(['alert', 'repair', 'accept'], app.drift.policy);
  const flags = FLAGS.map(([name, label, hint]) => [
    name,
    checkbox(label, { checked: app[name] }, { hint, pointer: `/${name}` }),
  ]);
  return form({
    call: 'patchApp',
    label: 'Save settings',
    reload: () => context.refresh(),
    children: [
      h(
        'fieldset',
        null,
        h('legend', null, 'In force at once'),
        field({ label: 'Description', control: description, pointer: '/description' }),
        field({ label: 'Labels', control: labels, pointer: '/labels', hint: 'One a line: name: value' }),
        h(
          'div',
          { class: 'grid' },
          LIMITS.map(([name, label]) => field({ label, control: limits[name], pointer: `/limits/${name}` })),
        ),
        h('p', { class: 'hint' }, 'An empty limit is the daemon’s own.'),
        h(
          'div',
          { class: 'flags' },
          flags.map(([, one]) => one),
        ),
      ),
      h(
        'fieldset',
        null,
        h('legend', null, 'From the next deployment on'),
        h(
          'div',
          { class: 'grid' },
          field({ label: 'Runtime', control: runtime, pointer: '/runtime' }),
          field({ label: 'Handler', control: handler, pointer: '/handler' }),
          NEXT.map(([name, label]) => field({ label, control: next[name], pointer: `/${name}` })),
          field({ label: 'Payload format', control: format, pointer: '/http/payloadFormat' }),
          field({ label: 'Response mode', control: mode, pointer: '/http/responseMode' }),
          field({ label: 'Probe path', control: probe, pointer: '/probe', hint: 'Empty: no probe.' }),
        ),
      ),
    ],
    save: async () => {
      const patch = {
        description: description.value,
        labels: readLabels(labels.value, app.labels),
        runtime: runtime.value.trim(),
        handler: handler.value.trim(),
        http: { payloadFormat: format.value, responseMode: mode.value },
        probe: probe.value.trim() ? { path: probe.value.trim() } : null,
        limits: Object.fromEntries(LIMITS.map(([name]) => [name, number(limits[name])])),
      };
      if (drift) patch.drift = { policy: drift.value };
      NEXT.forEach(([name]) => {
        patch[name] = number(next[name]);
      });
      flags.forEach(([name, one]) => {
        patch[name] = one.control.checked;
      });
      await call('PATCH', base, { json: patch, ifMatch: app.revision });
      await context.refresh();
      tell('The settings are saved.');
    },
  });
}

export async function settingsPage(context) {
  const {
      names: { name },
      signal,
    } = context,
    { app, status, base } = await readApp(name, signal),
    trouble = h('div');
  const remove = action('Delete the app', {
    call: 'deleteApp',
    tone: 'danger',
    onclick: async () => {
      if (
        !(await ask({
          title: `Delete ${name}?`,
          text: 'It is served no more at once; its versions, function and packages go. This cannot be undone.',
          yes: 'Delete for good',
          typed: name,
        }))
      )
        return;
      const end = async () => {
        const operation = await call('DELETE', base, { ifMatch: app.revision });
        context.go(`/operations/${operation.id}`);
      };
      await attempt(trouble, end, () => context.refresh());
    },
  });
  return appFrame(app, status, 'Settings', [
    h('section', { class: 'panel' }, settingsForm(app, base, context)),
    h(
      'section',
      { class: 'panel danger-zone' },
      h('h2', null, 'The end of it'),
      trouble,
      h('p', null, 'Deleting an app is for good. To stop serving it for a while, deactivate it.'),
      remove,
    ),
  ]);
}
