// Owns the inside of a Node jail: wait for one call, run the plugin, answer once.
//
// Nothing here is a wall: plugin code can reach all of it. The jail is the wall, and the executor decides what came of
// it. That `process` and `require` are not global is hygiene.

import * as attempts from './attempts.mjs';
import { BrokerError, ask, encode, receive, send, sendBytes, waitForTheEnd } from './channel.mjs';
import { bind, describe, find } from './header.mjs';
import * as host from './host.mjs';
import { load } from './plugin.mjs';
import { javascript } from './typescript.mjs';
import * as utils from './utils.mjs';

const RESULT_BYTES = 1024 * 1024;
const STACK_FRAMES = 50;
const WARM = `export default { id: 'warm', actions: { async warm(input) {
  return { mean: this.utils.mean(await this.utils.parseCSV(input.csv)) };
} } };`;

const platform = host.offered(ask, send);
const exit = process.reallyExit.bind(process);
let answered = false;

async function main() {
  process.on('beforeExit', () => {
    if (!answered) finish(failure({ name: 'NoResult', message: 'the action waits for something that never comes' }));
  });
  process.on('uncaughtException', (error) => finish(failure(error)));
  setGlobals();
  const call = { source: WARM, filename: 'warm.js', action: 'warm', input: { csv: '1,2' } };
  await answer({ call: { ...call, settings: {}, secrets: {}, permissions: [] } });
  failure(new Error('warm'));
  attempts.watch(send);
  send({ ready: {} });
  const frame = receive();
  if (frame === null) exit(0);
  let bytes;
  try {
    bytes = await answer(frame);
  } catch (error) {
    bytes = failure(error);
  }
  finish(bytes);
}

function finish(bytes) {
  answered = true;
  sendBytes(bytes);
  waitForTheEnd();
  exit(0);
}

/** A call brings JavaScript; only what is described or stripped may be TypeScript. */
async function answer({ call, describe: asked, strip: written }) {
  if (written) return fitting({ stripped: { value: javascript(written.source, written.filename) } });
  if (asked) {
    const header = await load(javascript(asked.source, asked.filename), asked.filename);
    return fitting({ header: { value: describe(header) } });
  }
  const header = await load(call.source, call.filename);
  const run = find(header, call.action);
  const value = await run.call(bind(header, offered(call)), call.input);
  return fitting({ result: { value: value ?? null } }, call.result_bytes);
}

/** What an action gets as `this`. */
function offered(call) {
  return { utils, config: { ...call.settings, ...call.secrets }, permissions: call.permissions, ...platform };
}

function setGlobals() {
  const levels = { debug: 'debug', log: 'info', info: 'info', warn: 'warning', error: 'error' };
  const written = (level) => (...values) => platform.log(values.map(host.text).join(' '), level);
  globalThis.console = Object.fromEntries(Object.entries(levels).map(([name, level]) => [name, written(level)]));
  globalThis.fetch = platform.fetch;
  globalThis.utils = utils;
  delete globalThis.process;
  delete globalThis.require;
}

function fitting(frame, most = RESULT_BYTES) {
  const bytes = encode(frame);
  if (bytes.length <= most) return bytes;
  const message = `the result has ${bytes.length} bytes; at most ${most} are accepted`;
  return encode({ failure: { name: 'ResultTooLarge', message, stack: [] } });
}

function failure(error) {
  try {
    const name = String(error?.name ?? 'Error');
    const message = String(error?.message ?? host.text(error)).slice(0, 4000);
    const refused = error instanceof BrokerError ? { ask: error.ask } : {};
    return encode({ failure: { name, message, stack: stack(error), ...refused } });
  } catch {
    return encode({ failure: { name: 'Error', message: 'an error that cannot be shown', stack: [] } });
  }
}

/** Frames of the plugin and of what it called, innermost first; of a syntax error, the place it was found at. */
function stack(error) {
  const lines = String(error?.stack ?? '').split('\n');
  const found = lines.flatMap((line) => {
    const match = /^ +at (?:async )?(?:(.*?) \()?(.*?):(\d+):(\d+)\)?$/.exec(line);
    if (!match || match[2].startsWith('file:///sdk/') || match[2].startsWith('node:')) return [];
    return [{ function: match[1] ?? '<module>', file: match[2], line: Number(match[3]), column: Number(match[4]) }];
  });
  if (error?.place) return [{ function: '<module>', ...error.place }];
  return found.slice(0, STACK_FRAMES);
}

await main();
