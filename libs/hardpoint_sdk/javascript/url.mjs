// Owns URL for an engine without it: http and https, and hosts that are names of ASCII letters.
//
// What it reads it reads as the URL standard says, as Node does; what it does not know it refuses, and never guesses.
// This is for a plugin's comfort: the broker reads every URL again, by its own strict rules.

import { escaped, fromUtf8, unescaped } from './bytes.mjs';
import { URLSearchParams } from './params.mjs';

const PORTS = { 'http:': '80', 'https:': '443' };
const CONTROL = '\\u0000-\\u001f\\u007f-\\u{10ffff}';
const FRAGMENT = new RegExp(`[${CONTROL} "<>\`]`, 'gu');
const QUERY = new RegExp(`[${CONTROL} "#<>']`, 'gu');
const PATH = new RegExp(`[${CONTROL} "#<>?^\`{}]`, 'gu');
const USER = new RegExp(`[${CONTROL} "#<>?^\`{}/:;=@[\\]|\\\\]`, 'gu');
const LABEL = '[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?';
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})*\\.?$`);
const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const ADDRESS = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`);
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;

/** An absolute URL. */
export class URL {
  #parts;
  #params;
  #read;

  constructor(url, base) {
    this.#parts = parsed(String(url), base === undefined ? undefined : new URL(base).#parts);
    [this.#params, this.#read] = URLSearchParams.ofUrl(() => {
      const query = this.#params.toString();
      this.#parts.search = query && `?${query}`;
    });
    this.#read(this.#parts.search.slice(1));
  }

  static canParse(url, base) {
    return URL.parse(url, base) !== null;
  }

  static parse(url, base) {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }

  get href() {
    const { protocol, username, password, search, hash, pathname } = this.#parts;
    const user = username || password ? `${username}${password && `:${password}`}@` : '';
    return `${protocol}//${user}${this.host}${pathname}${search}${hash}`;
  }

  set href(url) {
    this.#parts = parsed(String(url));
    this.#read(this.#parts.search.slice(1));
  }

  get origin() {
    return `${this.#parts.protocol}//${this.host}`;
  }

  get protocol() {
    return this.#parts.protocol;
  }

  set protocol(value) {
    const protocol = `${String(value).split(':')[0].toLowerCase()}:`;
    if (!(protocol in PORTS)) return;
    this.#parts.protocol = protocol;
    if (this.#parts.port === PORTS[protocol]) this.#parts.port = '';
  }

  get username() {
    return this.#parts.username;
  }

  set username(value) {
    this.#parts.username = escaped(value, USER);
  }

  get password() {
    return this.#parts.password;
  }

  set password(value) {
    this.#parts.password = escaped(value, USER);
  }

  get host() {
    const { hostname, port } = this.#parts;
    return port ? `${hostname}:${port}` : hostname;
  }

  set host(value) {
    const authority = String(value).split(/[/?#\\]/)[0];
    const found = URL.parse(`${this.protocol}//${authority}`);
    if (!found || authority.includes('@')) return;
    this.#parts.hostname = found.hostname;
    if (/:[0-9]+$/.test(authority)) this.#parts.port = found.port;
  }

  get hostname() {
    return this.#parts.hostname;
  }

  set hostname(value) {
    const found = URL.parse(`${this.protocol}//${String(value).split(/[/?#\\]/)[0]}`);
    if (found && !/[:@]/.test(value)) this.#parts.hostname = found.hostname;
  }

  get port() {
    return this.#parts.port;
  }

  set port(value) {
    const digits = /^[0-9]*/.exec(String(value))[0];
    if ((digits || value === '') && Number(digits) < 65536) this.#parts.port = portOf(this.protocol, digits);
  }

  get pathname() {
    return this.#parts.pathname;
  }

  set pathname(value) {
    this.#parts.pathname = pathOf([], cleaned(value));
  }

  get search() {
    return shown(this.#parts.search);
  }

  set search(value) {
    const query = escaped(cleaned(value).replace(/^\?/, ''), QUERY);
    this.#parts.search = value === '' ? '' : `?${query}`;
    this.#read(query);
  }

  get searchParams() {
    return this.#params;
  }

  get hash() {
    return shown(this.#parts.hash);
  }

  set hash(value) {
    const fragment = escaped(cleaned(value).replace(/^#/, ''), FRAGMENT);
    this.#parts.hash = value === '' ? '' : `#${fragment}`;
  }

  toString() {
    return this.href;
  }

  toJSON() {
    return this.href;
  }
}

function invalid(url, why = '') {
  const error = new TypeError(`Invalid URL${why && `: ${why}`}`);
  return Object.assign(error, { code: 'ERR_INVALID_URL', input: url });
}

/** Return the parts of a URL, each as it is written again; throws TypeError. */
function parsed(url, base) {
  const text = cleaned(url.replace(/^[\u0000-\u0020]+|[\u0000-\u0020]+$/g, ''));
  const [, whole, fragment] = /^([^#]*)(?:#(.*))?$/su.exec(text);
  const [, before, query] = /^([^?]*)(?:\?(.*))?$/su.exec(whole);
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(before)?.[0].toLowerCase();
  if (scheme === undefined && base === undefined) throw invalid(url);
  if (scheme !== undefined && !(scheme in PORTS)) throw invalid(url, `${scheme} is not read here, http: and https: are`);
  const protocol = scheme ?? base.protocol;
  const rest = before.slice(scheme?.length ?? 0).replaceAll('\\', '/');
  const tail = {
    search: query === undefined ? '' : `?${escaped(query, QUERY)}`,
    hash: fragment === undefined ? '' : `#${escaped(fragment, FRAGMENT)}`,
  };
  const isAbsolute = scheme !== undefined && scheme !== base?.protocol;
  if (!isAbsolute && !rest.startsWith('//') && base !== undefined) {
    if (rest === '') return { ...base, ...tail, search: query === undefined ? base.search : tail.search };
    const kept = rest.startsWith('/') ? [] : base.pathname.split('/').slice(1, -1);
    return { ...base, ...tail, pathname: pathOf(kept, rest) };
  }
  const [, authority, path] = /^\/*([^/]*)(.*)$/su.exec(rest);
  const at = authority.lastIndexOf('@');
  const [, username, password = ''] = /^([^:]*)(?::(.*))?$/su.exec(authority.slice(0, Math.max(0, at)));
  const [, hostname, port = ''] = /^(.*?)(?::([0-9]*))?$/su.exec(authority.slice(at + 1));
  if (Number(port) > 65535) throw invalid(url, 'there is no such port');
  return {
    protocol,
    username: escaped(username, USER),
    password: escaped(password, USER),
    hostname: hostOf(hostname, url),
    port: portOf(protocol, port),
    pathname: pathOf([], path),
    ...tail,
  };
}

/** Return a host that is a name, or an address in its usual form; throws TypeError for any other spelling. */
function hostOf(written, url) {
  const host = fromUtf8(unescaped(written)).toLowerCase();
  if (/[^\u0000-\u007f]/.test(host)) throw invalid(url, 'a host of other than ASCII letters is not read here');
  const last = host.replace(/\.$/, '').split('.').at(-1);
  const isOdd = host.includes('xn--') || (NUMBER.test(last) && !ADDRESS.test(host));
  if (host.length > 255 || !HOST.test(host) || isOdd) throw invalid(url, 'the host is no plain name');
  return host;
}

/** A question mark or a hash sign alone is kept in the whole URL, and is nothing by itself. */
function shown(part) {
  return part.length > 1 ? part : '';
}

function portOf(protocol, digits) {
  const port = digits && String(Number(digits));
  return port === PORTS[protocol] ? '' : port;
}

/** Return a path after those segments, with its dots resolved. */
function pathOf(segments, path) {
  const parts = path.replaceAll('\\', '/').replace(/^\//, '').split('/');
  const kept = [...segments];
  parts.forEach((part, at) => {
    const isLast = at === parts.length - 1;
    const dots = part.replace(/%2e/gi, '.');
    if (dots === '..') kept.pop();
    else if (dots !== '.') kept.push(escaped(part, PATH));
    if (isLast && (dots === '..' || dots === '.')) kept.push('');
  });
  return `/${kept.join('/')}`;
}

function cleaned(value) {
  return String(value).replace(/[\t\n\r]/g, '');
}
