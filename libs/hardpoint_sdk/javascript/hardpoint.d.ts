// What `this` offers an action, for editors; `hardpoint new` writes it beside the capability. In its file, above the
// `export default`:
//
//   /** @type {import('./hardpoint').Capability} */
//
// In TypeScript: import type { This } from './hardpoint'. Nothing here runs; a test holds it to what the SDK really
// offers.

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Row = Record<string, any>;

/** What `this` is, besides the capability's own functions. */
export interface This {
  /** Tables and figures. */
  utils: Utils;
  /** Settings by key; a secret is a handle that only the broker can turn into its value. */
  config: Record<string, any>;
  /** What the organisation granted. */
  permissions: readonly string[];
  /** The capability's own actions. */
  actions: Record<string, (input?: any) => any>;
  /** Make an HTTP request through the broker. `bodyFile` names a temporary file to send, `into` one to keep the answer. */
  fetch(url: string | URL, options?: FetchOptions): Promise<HttpResponse>;
  /** Open a WebSocket, `wss://`, to one of the hosts that are granted. Needs `network.websocket`. */
  websocket(url: string | URL, options?: WebSocketOptions): Promise<WebSocket>;
  /** Call an action of another capability, `capability.action`, which the header's `calls` names; what it gives. */
  call(action: string, input?: Record<string, any>): Promise<any>;
  /** Temporary files, which are gone with the execution, and stored ones. */
  file: Files;
  /** What is known of the call. */
  context: Context;
  /** The organisation's database: the secret DATABASE_URL, and of its tables those of DATABASE_TABLES. */
  db: Database;
  /** The organisation's model: AI_URL, AI_KEY, AI_MODEL. */
  ai: Ai;
  /** The organisation's mail: the secrets SMTP_URL and IMAP_URL, and EMAIL_FROM. */
  email: Email;
  /** The organisation's calendars: the secret CALDAV_URL. */
  calendar: Calendar;
  /** Log a line. */
  log(message: unknown, level?: 'debug' | 'info' | 'warning' | 'error'): void;
  /** Say how far the action is, from 0 to 1. */
  progress(fraction: number, message?: string): void;
}

/** What is thrown where the platform refused or could not do what was asked; `code` says why: HOST_NOT_GRANTED. */
export interface BrokerError extends Error {
  code: string;
  ask: number;
}

declare global {
  /** The same as `this.fetch`. */
  function fetch(url: string | URL, options?: FetchOptions): Promise<HttpResponse>;
  /** The same as `this.utils`. */
  const utils: Utils;
}

export interface FetchOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  headers?: Record<string, string>;
  body?: Json | URLSearchParams;
  bodyFile?: string;
  into?: string;
}

export interface HttpResponse {
  status: number;
  ok: boolean;
  /** Names are in small letters. */
  headers: Map<string, string>;
  file: { name: string; size: number } | null;
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
  json(): Promise<any>;
}

export interface WebSocketOptions {
  headers?: Record<string, string>;
  subprotocols?: string[];
}

/** It is closed at the end of the execution, if not before. */
export interface WebSocket {
  /** The one that the server chose; empty for none. */
  subprotocol: string;
  /** Once the server has ended it. */
  closed: { code: number; reason: string } | null;
  /** Send a text, bytes, or any other value as JSON. Handles in a text become secrets. */
  send(data: string | Uint8Array | Json): Promise<void>;
  /**
   * The next message; null when the server has closed it. `timeout` is in seconds, 5 where none is given: when nothing
   * came in time it rejects with UPSTREAM_TIMEOUT, and is still open.
   */
  receive(options?: { timeout?: number }): Promise<string | Uint8Array | null>;
  /** Close it. What the server still sends is not heard. */
  close(): Promise<void>;
}

/** A stored file, as an action takes and gives it. */
export interface FileHandle {
  id: string;
  name: string;
  type: string;
  size: number;
  /** When it is gone, such as 2030-01-31T08:00:00Z; none for a file that stays. */
  expire_time?: string;
}

/** Temporary files have a name and need `file.temporary`; stored ones a handle, and `file.read` or `file.write`. */
export interface Files {
  write(name: string, data: string | Uint8Array, options?: { append?: boolean }): Promise<{ name: string; size: number }>;
  read(name: string, options?: { offset?: number; length?: number }): Promise<Uint8Array>;
  open(handle: FileHandle, options?: { offset?: number; length?: number }): Promise<Uint8Array>;
  open(handle: FileHandle, options: { into: string }): Promise<{ name: string; size: number }>;
  /** `expiresIn` is in seconds, 30 days at most: the file is gone then. */
  save(
    name: string,
    data?: string | Uint8Array,
    type?: string,
    options?: { fromFile?: string; expiresIn?: number },
  ): Promise<FileHandle>;
  list(): Promise<{ name: string; size: number }[]>;
  list(options: { stored: true }): Promise<FileHandle[]>;
  size(name: string): Promise<number>;
  delete(name: string): Promise<void>;
}

/** What the calling agent says of its user: nobody proved it. */
export interface User {
  id?: string;
  name?: string;
  email?: string;
  /** BCP 47, e.g. de-CH. */
  locale?: string;
  /** IANA, e.g. Europe/Zurich. */
  time_zone?: string;
}

export interface Conversation {
  id?: string;
  /** The last ones, the oldest first. */
  messages: { role: 'user' | 'assistant' | 'system' | 'tool'; text: string }[];
}

/** What is known of the call, each where there is one; user, conversation and files where they are granted. */
export interface Call {
  org: string;
  capability: string;
  release: string;
  action: string;
  agent?: string;
  run?: string;
  execution: string;
  idempotency_key?: string;
  /** The time, such as 2030-01-31T08:00:00Z; in a call that is held to a plan that of the dry run. */
  at: string;
  /** A text to make new names of: the same in each attempt of an effect, and in what is held to a plan as in its dry run. */
  seed: string;
  user?: User;
  conversation?: Conversation;
  files?: FileHandle[];
}

export interface Context {
  get(): Promise<Call>;
  /** Who the agent acts for. Needs `context.user`. */
  user(): Promise<User | null>;
  /** The conversation that the call comes from. Needs `context.conversation`. */
  conversation(): Promise<Conversation | null>;
  /** Files that were shared with the agent, for `file.open`. Needs `context.files`. */
  files(): Promise<FileHandle[]>;
}

/** Statements are one at a time, with $1, $2 ... for values, which are never part of the text. */
export interface Database {
  /** The rows of one statement. A SELECT needs `data.read`. */
  query(sql: string, params?: Json[], options?: { connection?: string }): Promise<Row[]>;
  /** How many rows one INSERT, UPDATE (`data.write`), DELETE or TRUNCATE (`data.delete`) changed. */
  execute(sql: string, params?: Json[], options?: { connection?: string }): Promise<{ rows: number }>;
  /** Insert one row or several, all or none, by column name. Needs `data.write`. */
  insert(table: string, rows: Row | Row[], options?: { connection?: string }): Promise<{ rows: number }>;
  /** Change the rows whose columns equal those of `where`, at most 1000 or none. Needs `data.write`. */
  update(table: string, values: Row, where: Row, options?: { connection?: string }): Promise<{ rows: number }>;
  /** Remove the rows whose columns equal those of `where`, at most 1000 or none. Needs `data.delete`. */
  delete(table: string, where: Row, options?: { connection?: string }): Promise<{ rows: number }>;
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: any;
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content: string | null | Part[];
  tool_call_id?: string;
  tool_calls?: ToolCall[];
}

/** An image is sent along, as data:image/png;base64,... */
type Part = { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string; detail?: string } };

export interface ChatRequest {
  /** One of `prompt` and `messages`; a prompt may be about an `input`. */
  prompt?: string;
  messages?: Message[];
  input?: Json;
  /** A JSON Schema: the answer is JSON, in `data`. Whether it fits is the model's promise, not checked. */
  schema?: object;
  tools?: { name: string; description?: string; parameters?: object }[];
  model?: string;
  max_tokens?: number;
}

export interface ChatAnswer {
  text: string;
  data?: any;
  tool_calls?: ToolCall[];
  usage: { input_tokens: number; output_tokens: number };
}

export interface Ai {
  /** Ask the model. Needs `ai.call`, and `ai.vision` with images. */
  chat(request: ChatRequest): Promise<ChatAnswer>;
  /** A vector for each text. Needs `ai.embedding`. */
  embed(texts: string[], options?: { model?: string }): Promise<number[][]>;
}

export interface Mail {
  to: string | string[];
  subject: string;
  body: string;
  html?: string;
  cc?: string | string[];
  bcc?: string | string[];
  reply_to?: string;
  attachments?: ({ name: string; data: string | Uint8Array; type?: string } | FileHandle)[];
}

export interface MailWanted {
  folder?: string;
  from?: string;
  to?: string;
  subject?: string;
  text?: string;
  since?: string;
  before?: string;
  unseen?: boolean;
  limit?: number;
}

export interface MailFound {
  message: string;
  size: number;
  seen: boolean;
  header: string;
}

export interface Email {
  /** Send a mail. All need `integration.email`. */
  send(mail: Mail): Promise<{ message_id: string }>;
  /** The newest mails that fit; a header is the text of some lines of it, as the sender wrote them. */
  search(wanted?: MailWanted): Promise<{ messages: MailFound[]; more: boolean }>;
  /** A whole mail, as the bytes that it is. */
  fetch(message: string, options?: { folder?: string }): Promise<Uint8Array>;
}

/** CalDAV as it stands, below the path of CALDAV_URL. All need `integration.calendar`. */
export interface Calendar {
  propfind(path: string, body: string, options?: { depth?: 0 | 1 }): Promise<string>;
  report(path: string, body: string): Promise<string>;
  get(path: string): Promise<{ text: string; etag: string }>;
  /** Without an etag it has to be new. */
  put(path: string, body: string, options?: { etag?: string }): Promise<{ etag: string }>;
  delete(path: string, options?: { etag?: string }): Promise<void>;
}

/** Options of most: `column` where the data are rows. */
export interface Utils {
  parseCSV(text: string, options?: { header?: boolean; delimiter?: string }): any[];
  toCSV(rows: any[], options?: { delimiter?: string }): string;
  numbers(data: any, options?: { column?: string }): number[];
  sum(data: any, options?: { column?: string }): number;
  min(data: any, options?: { column?: string }): number;
  max(data: any, options?: { column?: string }): number;
  mean(data: any, options?: { column?: string }): number;
  median(data: any, options?: { column?: string }): number;
  quantile(data: any, q: number, options?: { column?: string }): number;
  variance(data: any, options?: { column?: string; population?: boolean }): number;
  standardDeviation(data: any, options?: { column?: string; population?: boolean }): number;
  findOutliers(data: any, options?: { column?: string }): number[];
  /** Null when one of them is constant. */
  correlation(xs: any, ys: any): number | null;
  linearTrend(data: any, options?: { column?: string }): { slope: number; intercept: number };
  groupBy(rows: Row[], column: string): { key: any; rows: Row[] }[];
}

interface DescribedAction {
  description?: string;
  inputs?: object;
  outputs?: object;
  effect?: 'read' | 'write';
  run(this: Self, input?: any): any;
}
/** What an action calls `this`: the platform's, and the capability's own functions. */
type Self = This & Record<string, any>;
type Action = ((this: Self, input?: any) => any) | DescribedAction;

/** What a capability file exports. */
export interface Capability {
  id: string;
  name?: string;
  version?: string;
  description?: string;
  permissions?: string[];
  hosts?: string[];
  calls?: string[];
  config?: object;
  exports?: string[];
  engine?: 'node' | 'quickjs';
  isolation?: 'strict' | 'run';
  actions: Record<string, Action>;
  [word: string]: any;
}
