// Light, dark, or as the system says. The choice is kept in this browser; it is no secret.
import { h, icon, replace } from './dom.js';

const KEPT = 'app-orchestrator.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

let choice = null;
try {
  choice = localStorage.getItem(KEPT);
} catch {
  // storage is forbidden here: the choice holds until the page is left
}

const isDark = () => (choice ? choice === 'dark' : system.matches);

function choose(name) {
  choice = name;
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // as above
  }
}

export function applyTheme() {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
}

export function themeSwitch() {
  const button = h('button', {
    type: 'button',
    class: 'plain theme',
    onclick: () => {
      choose(isDark() ? 'light' : 'dark');
      show();
    },
  });
  const show = () => {
    applyTheme();
    const dark = document.documentElement.dataset.theme === 'dark';
    replace(button, icon(dark ? 'light' : 'dark'), dark ? 'Light' : 'Dark');
    button.setAttribute('aria-label', dark ? 'Switch to light colours' : 'Switch to dark colours');
  };
  system.addEventListener('change', show);
  show();
  return button;
}
