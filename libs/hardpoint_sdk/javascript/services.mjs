// Owns what `this` offers of services that the organisation set up: database, model, mail, calendar.
//
// The Python SDK offers the same in `services.py`. Addresses and passwords stay outside: the broker knows them.

import { fromBase64, joined, toBase64, toUtf8 } from './bytes.mjs';

/**
 * The organisation's PostgreSQL: the secret DATABASE_URL, or another that the option `connection` names. Statements are
 * one at a time, with $1, $2 ... for values, which are never part of the text. Only the tables of the setting
 * DATABASE_TABLES can be named. Rows come as JSON: dates and times as ISO texts, bytea as base64, numeric and bigint as
 * numbers where a double holds them exactly and as text where not.
 */
export function database(ask) {
  return {
    /** The rows of one statement. A SELECT needs the permission data.read. */
    query: async (sql, params = [], { connection } = {}) => ask('db', 'query', { sql, params, connection }),
    /** How many rows one INSERT, UPDATE (data.write), DELETE or TRUNCATE (data.delete) changed: {rows}. */
    execute: async (sql, params = [], { connection } = {}) => ask('db', 'execute', { sql, params, connection }),
    /** Insert one row or several, all or none, by column name: {rows}. Needs data.write. */
    insert: async (table, rows, { connection } = {}) => ask('db', 'insert', { table, rows, connection }),
    /**
     * Change the rows whose columns equal those of `where`, at most 1000 or none: {rows}. Needs data.write. A null in
     * `where` means that there is no value. More rows: TOO_MANY_ROWS.
     */
    update: async (table, values, where, { connection } = {}) =>
      ask('db', 'update', { table, values, where: complete(where), connection }),
    /** Remove the rows that `update` would change: {rows}. Needs data.delete. */
    delete: async (table, where, { connection } = {}) => ask('db', 'delete', { table, where: complete(where), connection }),
  };
}

/** A condition, refused with a value that is undefined: JSON would leave it out, and more rows would fit. */
function complete(where) {
  for (const [name, value] of Object.entries(where ?? {})) {
    if (value === undefined) throw new TypeError(`where.${name} is undefined: say null for no value`);
  }
  return where;
}

/** The organisation's model, at any endpoint that speaks as OpenAI does: AI_URL, AI_KEY and AI_MODEL. */
export function ai(ask) {
  return {
    /**
     * Ask the model: {text, data?, tool_calls?, usage}. Needs ai.call, and ai.vision with images. The request has
     * `messages`, or a `prompt`, about an `input` (any JSON) where there is one; `schema`, `tools`, `model` and
     * `max_tokens` as they are needed. With a schema the answer is JSON, in `data`; whether it fits the schema is the
     * model's promise, not checked. Tools are {name, description, parameters}, calls {id, name, arguments}.
     */
    chat: async (request) => ask('ai', 'chat', request),
    /** A vector for each text. Needs ai.embedding; the model is AI_EMBEDDING_MODEL. */
    embed: async (texts, { model } = {}) => ask('ai', 'embed', { texts, model }),
  };
}

/** The organisation's mail: SMTP_URL and EMAIL_FROM to send, IMAP_URL to read. All need integration.email. */
export function email(ask) {
  return {
    /**
     * Send a mail, {to, subject, body, html?, cc?, bcc?, reply_to?, attachments?}: {message_id}. An attachment is
     * {name, data, type?}, its data text or bytes, or the handle of a stored file (file.read).
     */
    async send(mail) {
      const attachments = mail.attachments?.map((each) => {
        if (each.data === undefined) return each;
        const bytes = typeof each.data === 'string' ? toUtf8(each.data) : each.data;
        return { ...each, data: toBase64(bytes) };
      });
      return ask('email', 'send', { ...mail, attachments });
    },
    /**
     * The newest mails that fit, {messages: [{message, size, seen, header}], more}. What is wanted: folder (INBOX), from,
     * to, subject, text, since, before (days), unseen, limit (20, and 50 at most).
     */
    search: async (wanted = {}) => ask('email', 'search', wanted),
    /** A whole mail, as the bytes that it is; `message` is what a search of that folder gave. */
    async fetch(message, { folder = 'INBOX' } = {}) {
      const parts = [];
      let [offset, size] = [0, 1];
      while (offset < size) {
        const part = await ask('email', 'fetch', { message, folder, offset });
        parts.push(fromBase64(part.data));
        offset += parts.at(-1).length;
        ({ size } = part);
      }
      return joined(parts, offset);
    },
  };
}

/**
 * The organisation's calendars, by CalDAV: what is below the path of the secret CALDAV_URL. All need
 * integration.calendar. A path is one that the server gave, and where it is empty that of CALDAV_URL. Bodies and answers
 * are XML and iCalendar as they stand.
 */
export function calendar(ask) {
  return {
    /** The answer, XML, to a PROPFIND: properties of a collection (0), and of what is in it (1). */
    propfind: async (path, body, { depth = 1 } = {}) => (await ask('calendar', 'propfind', { path, body, depth })).text,
    /** The answer, XML, to a REPORT such as a calendar-query. */
    report: async (path, body) => (await ask('calendar', 'report', { path, body })).text,
    /** An event as iCalendar: {text, etag}. */
    get: async (path) => ask('calendar', 'get', { path }),
    /** Write an event: {etag}. Without an etag it has to be new, else as it was then: EVENT_CHANGED. */
    put: async (path, body, { etag } = {}) => ({ etag: (await ask('calendar', 'put', { path, body, etag })).etag }),
    /** Remove an event, with an etag only as it was then: EVENT_CHANGED. */
    delete: async (path, { etag } = {}) => void (await ask('calendar', 'delete', { path, etag })),
  };
}
