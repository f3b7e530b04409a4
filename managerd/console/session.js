// Who uses the console: the token, what it may do by what the API says of itself, and its end.
import { call, get, setToken } from './api.js';

const KEPT = 'app-orchestrator.token';
const RANKS = ['none', 'viewer', 'deployer', 'admin'];

export const session = { me: null, roles: {}, open: false };

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // storage is forbidden here: the token stays in memory
  }
}

function forget() {
  setToken(null);
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // there was nothing
  }
}

// The role that each call needs: operationId -> role.
function rolesOf(document) {
  const roles = {};
  for (const path of Object.values(document.paths))
    for (const operation of Object.values(path))
      if (operation && operation.operationId) roles[operation.operationId] = operation['x-required-role'] || 'none';
  return roles;
}

async function learn() {
  session.me = await get('/v1/me');
  session.open = session.me.id === 'local';
  session.roles = rolesOf(await call('GET', '/openapi.json'));
}

// With what there is; throws the 401 when that is not enough.
export async function resume() {
  setToken(kept());
  await learn();
}

export async function signIn(token, keep) {
  forget();
  setToken(token);
  try {
    await learn();
  } catch (problem) {
    forget();
    throw problem;
  }
  if (keep) sessionStorage.setItem(KEPT, token);
}

export function signOut() {
  forget();
  session.me = null;
  session.roles = {};
}

// Why the caller may not make that call, or null when he may.
export function refusal(operationId) {
  const needed = session.roles[operationId];
  if (!needed) return 'This release of managerd does not offer it.';
  if (RANKS.indexOf(session.me.role) >= RANKS.indexOf(needed)) return null;
  return `This needs the role ${needed}; your token has ${session.me.role}.`;
}

export const may = (operationId) => refusal(operationId) === null;

// Whether an app is among those of the token.
export const reaches = (app) =>
  !session.me.apps ||
  session.me.apps.some((one) => (one.endsWith('*') ? app.startsWith(one.slice(0, -1)) : app === one));
