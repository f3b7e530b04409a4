// Begins: who is there, then the frame with its navigation, then the page that the address names.
import { whenSignedOut } from './api.js';
import { appPage } from './app.js';
import { appsPage } from './apps.js';
import { auditPage } from './audit.js';
import { deployPage } from './deploy.js';
import { domainPage, domainsPage, newDomainPage } from './domains.js';
import { h, icon, replace } from './dom.js';
import { environmentPage } from './environment.js';
import { full } from './format.js';
import { historyPage } from './history.js';
import { logsPage } from './logs.js';
import { clearNotices, regions } from './notice.js';
import { operationPage, operationsPage } from './operations.js';
import { begin, end, path, show } from './router.js';
import { may, resume, session, signOut } from './session.js';
import { settingsPage } from './settings.js';
import { signInPage } from './sign_in.js';
import { systemPage } from './system.js';
import { applyTheme, themeSwitch } from './theme.js';
import { tokensPage } from './tokens.js';

const ROUTES = [
  ['/apps', appsPage],
  ['/apps/{name}', appPage],
  ['/apps/{name}/deploy', deployPage],
  ['/apps/{name}/logs', logsPage],
  ['/apps/{name}/environment', environmentPage],
  ['/apps/{name}/history', historyPage],
  ['/apps/{name}/settings', settingsPage],
  ['/deploy', deployPage],
  ['/domains', domainsPage],
  ['/domain/new', newDomainPage],
  ['/domains/{host}', domainPage],
  ['/operations', operationsPage],
  ['/operations/{id}', operationPage],
  ['/tokens', tokensPage],
  ['/audit', auditPage],
  ['/system', systemPage],
];
const PLACES = [
  ['/apps', 'Apps'],
  ['/domains', 'Domains'],
  ['/operations', 'Operations'],
  ['/tokens', 'Tokens', 'listTokens'],
  ['/audit', 'Audit', 'listAudit'],
  ['/system', 'System'],
];

const main = h('main', { id: 'main', tabindex: '-1' });

function who() {
  const { me, open } = session;
  if (open)
    return h('p', { class: 'who' }, 'No token asked for', h('span', null, 'on this machine, everybody is admin'));
  const scope = me.apps ? me.apps.join(', ') : 'all apps';
  return h(
    'p',
    { class: 'who' },
    me.name || me.id,
    h('span', null, `${me.role}, ${scope}`, me.expiresAt && `, until ${full(me.expiresAt)}`),
  );
}

function frame() {
  const places = h(
    'ul',
    null,
    PLACES.filter(([, , call]) => !call || may(call)).map(([to, name]) =>
      h('li', null, h('a', { href: `#${to}` }, name)),
    ),
  );
  const menu = h(
    'button',
    {
      type: 'button',
      class: 'plain menu',
      'aria-expanded': 'false',
      'aria-controls': 'places',
      onclick: () => toggle(),
    },
    icon('menu'),
    'Menu',
  );
  const navigation = h('nav', { id: 'places', 'aria-label': 'Places' }, places);
  const side = h(
    'header',
    { class: 'side' },
    h('div', { class: 'brand' }, h('a', { href: '#/apps', class: 'mark' }, icon('mark'), 'app-orchestrator'), menu),
    h(
      'div',
      { class: 'drawer' },
      navigation,
      h(
        'div',
        { class: 'side-foot' },
        who(),
        themeSwitch(),
        !session.open &&
          h('button', { type: 'button', class: 'plain', onclick: () => endSession() }, icon('out'), 'Sign out'),
      ),
    ),
  );
  const toggle = (open = menu.getAttribute('aria-expanded') !== 'true') => {
    menu.setAttribute('aria-expanded', String(open));
    side.classList.toggle('open', open);
  };
  navigation.addEventListener('click', () => toggle(false)); // also when it leads to where one is
  side.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && side.classList.contains('open')) {
      toggle(false);
      menu.focus();
    }
  });
  const skip = h(
    'a',
    {
      class: 'skip',
      href: '#main',
      onclick: (event) => {
        event.preventDefault();
        main.focus();
      },
    },
    'Skip to the content',
  );
  replace(document.body, skip, side, main, regions);
  const mark = () => {
    toggle(false);
    const here = path().replace('/domain/new', '/domains').replace('/deploy', '/apps');
    for (const link of places.querySelectorAll('a')) {
      const to = link.getAttribute('href').slice(1);
      if (here === to || here.startsWith(`${to}/`)) link.setAttribute('aria-current', here === to ? 'page' : 'true');
      else link.removeAttribute('aria-current');
    }
  };
  begin(ROUTES, main, mark);
  show();
}

function askWho(problem) {
  end();
  clearNotices();
  replace(main);
  document.querySelectorAll('dialog').forEach((one) => one.remove());
  replace(document.body, signInPage(frame, problem), regions);
}

// The token, and all that it let us see, go.
function endSession(problem = null) {
  signOut();
  askWho(problem);
}

async function start() {
  applyTheme();
  whenSignedOut((problem) => {
    if (session.me) endSession(problem);
  });
  try {
    await resume();
    frame();
  } catch (problem) {
    signOut();
    askWho(problem.status === 401 && !problem.message.includes('expired') ? null : problem);
  }
}

start();
