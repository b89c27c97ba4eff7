// Owns the inside of a QuickJS jail, on its JavaScript side: the call, what the platform offers, and the answer.
//
// `javascript.py` runs it before any plugin, gives it `carry(text)`, which sends a frame, and drives what it returns.
// Nothing here is a wall: the jail is the wall, and the executor decides what came of it.

import { bind, checked, describe, find } from './header.mjs';
import { offered, text } from './host.mjs';
import { timers } from './timers.mjs';
import * as utils from './utils.mjs';

const STACK_FRAMES = 50;
const SDK_LINES = 1000000;
const OUT_OF_MEMORY = { name: 'MemoryError', message: 'out of memory', stack: [] };

/** The platform refused or could not do what the plugin asked; `code` says why, such as HOST_NOT_GRANTED. */
class BrokerError extends Error {
  constructor(code, message, ask) {
    super(`${code}: ${message}`);
    this.name = 'BrokerError';
    this.code = code;
    this.ask = ask;
  }
}

/** Return the functions that the Python side calls, each of which takes and returns text or nothing, and the timers. */
export function prepared(carry) {
  const { parse, stringify } = JSON;
  const open = new Map();
  const { performance } = globalThis;
  let asked = 0;
  let filename = '';
  let answered;

  const send = (frame) => carry(stringify(frame));

  function ask(service, method, parameters) {
    asked += 1;
    send({ ask: { id: asked, service, method, arguments: parameters } });
    return new Promise((resolve, reject) => open.set(asked, { resolve, reject }));
  }

  const platform = offered(ask, send);
  const levels = { debug: 'debug', log: 'info', info: 'info', warn: 'warning', error: 'error' };
  const written = (level) => (...values) => platform.log(values.map(text).join(' '), level);
  globalThis.console = Object.fromEntries(Object.entries(levels).map(([name, level]) => [name, written(level)]));
  globalThis.fetch = platform.fetch;
  globalThis.utils = utils;
  const clock = timers(() => performance.now(), (error) => answered(failure(error)));

  async function answer({ call, describe: wanted }, loaded) {
    const header = checked((await loaded()).default);
    if (wanted) return { header: { value: describe(header) } };
    const run = find(header, call.action);
    const config = { ...call.settings, ...call.secrets };
    const self = bind(header, { utils, config, permissions: call.permissions, ...platform });
    return { result: { value: (await run.call(self, call.input)) ?? null } };
  }

  function failure(error) {
    try {
      // QuickJS throws null when there is no memory for an error.
      if (error === null || (error?.name === 'InternalError' && error.message === 'out of memory')) {
        return stringify({ failure: OUT_OF_MEMORY });
      }
      const name = String(error?.name ?? 'Error');
      const message = String(error?.message ?? text(error)).slice(0, 4000);
      const refused = error instanceof BrokerError ? { ask: error.ask } : {};
      return stringify({ failure: { name, message, stack: stack(error), ...refused } });
    } catch {
      return stringify({ failure: { name: 'Error', message: 'an error that cannot be shown', stack: [] } });
    }
  }

  /** Frames of the plugin, innermost first: the SDK stands far below it, and the engine gives both one name. */
  function stack(error) {
    return String(error?.stack ?? '').split('\n').flatMap((line) => {
      const match = /^ +at (?:(.*?) \()?<input>:(\d+):(\d+)\)?$/.exec(line);
      if (!match || Number(match[2]) >= SDK_LINES) return [];
      const named = match[1] && match[1] !== '<anonymous>' && match[1] !== '<eval>' ? match[1] : '<module>';
      return [{ function: named, file: filename, line: Number(match[2]), column: Number(match[3]) }];
    }).slice(0, STACK_FRAMES);
  }

  return {
    timers: clock.globals,
    /** Begin the call of a frame whose module was evaluated; `done` gets the answer as text. */
    begin(frame, loaded, done) {
      const words = parse(frame);
      filename = (words.call ?? words.describe).filename;
      if (answered) {
        // What an earlier call of the run did not wait for ended with it.
        open.clear();
        clock.clear();
      }
      answered = done;
      answer(words, loaded).then((value) => done(stringify(value))).catch((error) => done(failure(error)));
    },
    /** Settle the ask that a reply belongs to. */
    settle(frame) {
      const { reply } = parse(frame);
      const waiting = open.get(reply.id);
      open.delete(reply.id);
      if (reply.error) waiting.reject(new BrokerError(reply.error.code, reply.error.message, reply.id));
      else waiting.resolve(reply.value ?? null);
    },
    /** Run the next timer's callback. */
    ring: () => clock.ring(),
    /** How long a reply may take, in milliseconds, until a timer is due; null when neither of them will come. */
    pause: () => (open.size > 0 || clock.held() ? clock.due() : null),
  };
}
