// The traffic of an app: a bar of who serves, and sliders that always add up to 100.
import { call, q } from './api.js';
import { h, newId, replace } from './dom.js';
import { field, form, select } from './form.js';
import { percent } from './format.js';
import { announce, tell } from './notice.js';
import { WHOLE, balance, fromPercents } from './shares.js';
import { refusal } from './session.js';

const TONES = 6;
const STICKY = [
  ['none', 'each request by itself'],
  ['cookie', 'a browser stays, by cookie'],
  ['address', 'a client stays, by address'],
];

const tone = (version) => `tone-${version % TONES}`;

export function bar(shares) {
  const element = h('div', { class: 'traffic-bar', 'aria-hidden': 'true' });
  for (const [version, share] of shares) {
    if (share <= 0) continue;
    const part = h('span', { class: tone(version) }, share >= 600 ? `v${version} ${percent(share / 100)}` : '');
    part.style.setProperty('flex-grow', String(share));
    element.append(part);
  }
  return element;
}

// Rows with a slider and a number for each version.
export function trafficEditor({ app, traffic, versions, refresh }) {
  let numbers = traffic.versions.map((one) => one.version),
    shares = fromPercents(traffic.versions.map((one) => one.percent));
  const ready = versions.filter((one) => one.state === 'ready').map((one) => one.version);
  const place = h('div'),
    rows = h('div', { class: 'shares', role: 'group', 'aria-label': 'Share of each version' });
  const off = refusal('putTraffic');
  let controls = [];

  const draw = () => {
    replace(place, bar(numbers.map((one, i) => [one, shares[i]])));
    controls.forEach(({ slider, figure }, i) => {
      const text = String(shares[i] / 100);
      if (slider.value !== text) slider.value = text;
      if (figure !== document.activeElement || Number(figure.value) !== shares[i] / 100) figure.value = text;
      slider.setAttribute('aria-valuetext', `${text} percent`);
    });
  };
  const set = (index, value) => {
    if (Number.isNaN(value)) return;
    shares = balance(shares, index, value * 100);
    draw();
  };
  const row = (version, i) => {
    const id = newId('share'),
      common = { min: 0, max: 100, disabled: Boolean(off) };
    const slider = h('input', { type: 'range', ...common, step: 1, id, oninput: () => set(i, Number(slider.value)) });
    const figure = h('input', {
      type: 'number',
      ...common,
      step: '0.01',
      inputmode: 'decimal',
      'aria-label': `Percent of version ${version}`,
      onchange: () => set(i, Number(figure.value)),
    });
    controls.push({ slider, figure });
    return h(
      'div',
      { class: 'share' },
      h(
        'label',
        { for: id },
        h('span', { class: `dot ${tone(version)}`, 'aria-hidden': 'true' }),
        `Version ${version}`,
      ),
      slider,
      h('span', { class: 'percent' }, figure, h('span', { 'aria-hidden': 'true' }, '%')),
    );
  };
  const lay = () => {
    controls = [];
    replace(rows, numbers.map(row));
    draw();
    const left = ready.filter((one) => !numbers.includes(one));
    replace(adding, left.length > 0 && !off && [another(left)]);
  };
  const another = (left) => {
    const choice = select(
      left.map((one) => [one, `Version ${one}`]),
      left[0],
      { 'aria-label': 'Version to add' },
    );
    return [
      choice,
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          onclick: () => {
            const version = Number(choice.value);
            numbers = [...numbers, version];
            shares = shares.length ? [...shares, 0] : [WHOLE];
            lay();
            controls[controls.length - 1].slider.focus();
            announce(`Version ${version} is added with ${shares[shares.length - 1] / 100} percent.`);
          },
        },
        'Add it',
      ),
    ];
  };
  const adding = h('div', { class: 'adding' }),
    sticky = select(STICKY, traffic.sticky || 'none', { disabled: Boolean(off) });
  const element = form({
    call: 'putTraffic',
    label: 'Shift traffic',
    reload: () => refresh(),
    class: 'traffic',
    children: [place, rows, adding, field({ label: 'Clients', control: sticky, pointer: '/sticky' })],
    save: async () => {
      const chosen = numbers
        .map((version, i) => ({ version, percent: shares[i] / 100 }))
        .filter((one) => one.percent > 0);
      await call('PUT', `/v1/apps/${q(app.name)}/traffic`, {
        json: { versions: chosen, sticky: sticky.value },
        ifMatch: traffic.revision,
      });
      await refresh({ focus: 'traffic-heading' });
      tell(
        `Traffic is shifted: ${chosen.map((one) => `version ${one.version} has ${percent(one.percent)}`).join(', ')}.`,
      );
    },
  });
  lay();
  if (numbers.length === 0 && ready.length === 0)
    return h('p', { class: 'empty' }, 'Nothing serves yet: no version is ready.');
  return element;
}
