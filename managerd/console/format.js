// Times, sizes and states as people read them.
import { h } from './dom.js';

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS = [
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
];

export function ago(text) {
  const seconds = (Date.parse(text) - Date.now()) / 1000;
  for (const [unit, length] of UNITS)
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  return seconds < 0 ? 'just now' : 'in less than a minute';
}

const two = (number) => String(number).padStart(2, '0');

// "2026-03-01 09:05:07", of this browser's zone.
export function full(text) {
  const at = new Date(text);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function time(text, otherwise = 'never') {
  if (!text || Number.isNaN(Date.parse(text))) return h('span', { class: 'quiet' }, otherwise);
  return h('time', { datetime: text, title: full(text) }, ago(text));
}

export function bytes(count) {
  if (typeof count !== 'number') return '–';
  const unit = count < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(count) / 10));
  const size = count / 1024 ** unit;
  return `${unit && size < 100 ? size.toFixed(1) : Math.round(size)} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}

export function took(from, to) {
  if (!from) return '';
  const ms = (to ? Date.parse(to) : Date.now()) - Date.parse(from);
  if (ms < 1000) return `${Math.max(0, ms)} ms`;
  return ms < 60000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

export const percent = (number) => `${Number(number.toFixed(2))}\u00a0%`;

const TONES = {
  good: ['serving', 'ready', 'succeeded', 'done', 'active', 'ok', 'healthy', 'in step'],
  busy: ['pending', 'running', 'queued', 'deleting', 'waiting', 'changing'],
  bad: ['failed', 'degraded', 'failing', 'drifted', 'missing'],
};

// A state as a word, with a shape beside it: never by colour alone.
export function pill(state, title) {
  const tone = Object.keys(TONES).find((one) => TONES[one].includes(state)) || 'still';
  return h('span', { class: `pill ${tone}`, title }, String(state));
}

// "create-function" -> "Create function"
export const words = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll('-', ' ');

// "lastChecked" -> "Last checked"
export const spaced = (name) => words(name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`));

// What a value was and became, for eyes and ears.
export const fromTo = (before, after) =>
  h(
    'span',
    { class: 'from-to' },
    before,
    h('span', { class: 'arrow', 'aria-hidden': 'true' }, '→'),
    h('span', { class: 'unseen' }, ' became '),
    after,
  );

export const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
