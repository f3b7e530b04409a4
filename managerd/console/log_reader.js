// Reads an app's log line by line, and goes on behind the last line when the answer ends before it should.
import { Problem, lines } from './api.js';

const REMEMBERED = 4000; // ids of lines, which a later answer may tell again
const MOST_TRIES = 6;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function parse(text) {
  try {
    const line = JSON.parse(text);
    return line && typeof line === 'object' ? line : { message: text };
  } catch {
    return { message: text };
  }
}

function once(remembered) {
  const ids = new Set(remembered);
  return (line) => {
    if (!line.id) return true;
    if (ids.has(line.id)) return false;
    ids.add(line.id);
    if (ids.size > REMEMBERED) ids.delete(ids.values().next().value);
    return true;
  };
}

// Tells `online` each line, `ontrouble` while it is away; gives the end that the API told, or null.
export async function readLog(path, wish, { signal, online, ontrouble }) {
  const isNew = once([]);
  let since = wish.since;
  for (let tries = 0; ; ) {
    let end = null;
    try {
      const query = new URLSearchParams({ ...wish, since });
      for await (const text of lines(`${path}?${query}`, { accept: 'application/x-ndjson', signal })) {
        if (!text.trim()) continue;
        tries = 0;
        const line = parse(text);
        if (line.end) end = line.end;
        else if (isNew(line)) online(line);
        if (line.time) since = line.time;
      }
    } catch (problem) {
      if (problem.name === 'AbortError' || (problem instanceof Problem && problem.status && problem.status !== 503))
        throw problem;
      if (++tries > MOST_TRIES || !wish.follow) throw problem;
    }
    if (signal.aborted || !wish.follow || (end && end.reason === 'problem')) return end;
    if (end && end.since) since = end.since;
    ontrouble(end ? end.reason : 'lost');
    await pause(Math.min(8000, 500 * 2 ** tries));
    if (signal.aborted) return null;
  }
}
