// Builds elements. Text is only ever set as text, so nothing that the API says can become markup.

const SVG = 'http://www.w3.org/2000/svg';

function add(parent, child) {
  if (child === null || child === undefined || child === false || child === '') return;
  if (Array.isArray(child)) child.forEach((one) => add(parent, one));
  else parent.append(child instanceof Node ? child : String(child));
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (name === 'value' || name === 'checked' || name === 'indeterminate') element[name] = value;
  else element.setAttribute(name, value === true ? '' : String(value));
}

// h('a', {href: '#/apps', onclick: act}, 'Apps', node, [nodes])
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) if (name !== 'value') set(element, name, value);
  add(element, children);
  if (properties && 'value' in properties) set(element, 'value', properties.value); // after the options of a select
  return element;
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
  return parent;
}

let count = 0;
export const newId = (prefix) => `${prefix}-${++count}`;

const ICONS = {
  light:
    'M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.7 1.7M17.3 17.3 19 19M5 19l1.7-1.7M17.3 6.7 19 5',
  dark: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z',
  menu: 'M3 6h18M3 12h18M3 18h18',
  mark: 'M3 12h6l5-6h7M9 12l5 6h7',
  out: 'M14 4h6v6M20 4l-9 9M17 14v6H4V7h6',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg'),
    path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}
