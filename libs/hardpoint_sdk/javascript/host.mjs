// Owns what `this` offers of the platform: call, fetch, websocket, file, context, log, progress, services.
//
// All asks the broker. The Python SDK offers the same in `host.py`. Nothing here is Node's own, so that it runs in other engines too.

import { fromBase64, fromUtf8, joined, toBase64, toUtf8 } from './bytes.mjs';
import { ai, calendar, database, email } from './services.mjs';
import { WebSocket } from './websocket.mjs';

/** Of a stored file, in one frame. */
const PART_BYTES = 512 * 1024;

/**
 * Return what `this` gets, by name. `door(service, method, arguments)` promises the broker's answer and `send(frame)`
 * sends a frame that has none.
 */
export function offered(door, send) {
  /** A refusal arrives from a reply, where nobody knows who asked: it gets the stack of the question. */
  async function ask(service, method, parameters) {
    const [, ...asked] = String(new Error().stack).split('\n');
    try {
      return await door(service, method, parameters);
    } catch (error) {
      error.stack = [`${error.name}: ${error.message}`, ...asked].join('\n');
      throw error;
    }
  }

  /** Make an HTTP request: options are method, headers, body (text, or a value sent as JSON) or bodyFile, and into. */
  async function fetch(url, { method = 'GET', headers = {}, body, bodyFile, into } = {}) {
    const isForm = typeof URLSearchParams === 'function' && body instanceof URLSearchParams;
    const form = isForm ? { 'content-type': 'application/x-www-form-urlencoded' } : {};
    const sent = { url: String(url), headers: { ...form, ...headers }, body: isForm ? String(body) : body };
    if (bodyFile !== undefined) sent.body_file = bodyFile;
    if (into !== undefined) sent.into = into;
    return new Response(await ask('fetch', method.toUpperCase(), sent));
  }

  /** Open a WebSocket, wss://, to one of the hosts that are granted. Needs network.websocket. */
  async function websocket(url, { headers = {}, subprotocols = [] } = {}) {
    return new WebSocket(ask, await ask('websocket', 'open', { url: String(url), headers, subprotocols }));
  }

  function log(message, level = 'info') {
    send({ log: { level, message: text(message) } });
  }

  function progress(fraction, message = '') {
    send({ progress: { fraction, message } });
  }

  /** Call an action of another capability, which the manifest's `calls` names; what it gives. */
  async function call(action, input = {}) {
    return ask('call', 'run', { action: String(action), input });
  }

  const context = {
    /** Whose call it is; user, conversation and files too, each where it was given and is granted. */
    get: async () => ask('context', 'get', {}),
    /** Who the agent acts for: {id, name, email, locale, time_zone}, or null. Needs context.user. */
    user: async () => ask('context', 'user', {}),
    /** {id, messages: [{role, text}]}, the last messages, oldest first, or null. Needs context.conversation. */
    conversation: async () => ask('context', 'conversation', {}),
    /** Handles of files that were shared with the agent, for file.open. Needs context.files. */
    files: async () => ask('context', 'files', {}),
  };
  const services = { db: database(ask), ai: ai(ask), email: email(ask), calendar: calendar(ask) };
  return { call, fetch, websocket, file: files(ask), context, log, progress, ...services };
}

/**
 * Files, which are all kept outside the jail. Temporary ones have a name, are gone with the execution, and need the
 * permission `file.temporary`. Stored ones are kept for the organisation and have a handle, {id, name, type, size}, and
 * `expire_time` where they are not kept for ever: those of the input, and what this execution saves. To open them needs
 * `file.read`, to save them `file.write`.
 */
function files(ask) {
  return {
    /** Write text or bytes, in place of what is there or after it; {name, size}. */
    async write(name, data, { append = false } = {}) {
      const isText = typeof data === 'string';
      const encoding = isText ? 'utf-8' : 'base64';
      return ask('file', 'write', { name, data: isText ? data : toBase64(data), encoding, append });
    },
    /** Bytes from `offset` on, at most `length`; without a length, all the rest. */
    async read(name, { offset = 0, length } = {}) {
      const parts = [];
      for (let got = 0; ; ) {
        const wanted = length === undefined ? {} : { length: length - got };
        const answer = await ask('file', 'read', { name, offset: offset + got, ...wanted });
        const part = fromBase64(answer.data);
        parts.push(part);
        got += part.length;
        if (part.length === 0 || got === length || offset + got >= answer.size) return joined(parts, got);
      }
    },
    /**
     * Bytes of a stored file from `offset` on, at most `length`; all the rest without one. With `into` all of it becomes
     * the temporary file of that name, without passing through here; {name, size}.
     */
    async open(handle, { offset = 0, length, into } = {}) {
      if (into !== undefined) return ask('file', 'open', { file: handle, into });
      const parts = [];
      for (let got = 0; ; ) {
        const most = length === undefined ? PART_BYTES : Math.min(PART_BYTES, length - got);
        const answer = await ask('file', 'open', { file: handle, offset: offset + got, length: most });
        const part = fromBase64(answer.data);
        parts.push(part);
        got += part.length;
        if (part.length === 0 || got === length || offset + got >= answer.size) return joined(parts, got);
      }
    },
    /**
     * Store text, bytes, or the temporary file `fromFile`; the handle. `type` counts where the bytes are text. With
     * `expiresIn` it is gone after so many seconds, 30 days at most; the handle's `expire_time` says when.
     */
    async save(name, data = '', type = undefined, { fromFile, expiresIn } = {}) {
      let asked = type === undefined ? { name } : { name, type };
      if (expiresIn !== undefined) asked = { ...asked, expires_in: expiresIn };
      if (fromFile !== undefined) return ask('file', 'save', { ...asked, from_file: fromFile });
      let left = typeof data === 'string' ? toUtf8(data) : data instanceof Uint8Array ? data : Uint8Array.from(data);
      const encoding = 'base64';
      while (left.length > PART_BYTES) {
        const part = toBase64(left.subarray(0, PART_BYTES));
        asked = await ask('file', 'save', { ...asked, data: part, encoding, more: true });
        left = left.subarray(PART_BYTES);
      }
      return ask('file', 'save', { ...asked, data: toBase64(left), encoding });
    },
    /** {name, size} of each temporary file, by name; or the handles of what may be opened. */
    list: async ({ stored = false } = {}) => ask('file', 'list', stored ? { stored } : {}),
    /** Bytes of a file. */
    size: async (name) => ask('file', 'size', { name }),
    /** Remove a file. */
    delete: async (name) => ask('file', 'delete', { name }),
  };
}

/** An HTTP answer. `headers` is a Map with lower-case names; `file` is {name, size} when the body was kept in a file. */
class Response {
  #body;
  #encoding;

  constructor({ status, headers, body, encoding, file = null }) {
    this.status = status;
    this.ok = status >= 200 && status < 300;
    this.headers = new Map(Object.entries(headers));
    this.file = file;
    this.#body = body;
    this.#encoding = encoding;
  }

  async bytes() {
    return this.#encoding === 'base64' ? fromBase64(this.#body) : toUtf8(this.#body);
  }

  async text() {
    return this.#encoding === 'base64' ? fromUtf8(fromBase64(this.#body)) : this.#body;
  }

  async json() {
    return JSON.parse(await this.text());
  }
}

/** Return a value as a line of text. */
export function text(value) {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
