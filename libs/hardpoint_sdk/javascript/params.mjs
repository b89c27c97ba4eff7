// Owns URLSearchParams for an engine without it: names and values as forms and queries write them.

import { escaped, fromUtf8, unescaped } from './bytes.mjs';

const FORM = /[^A-Za-z0-9*\-._ ]/gu;

export class URLSearchParams {
  #pairs = [];
  #changed = () => {};

  constructor(from = '') {
    if (from === null || typeof from !== 'object') this.#pairs = formPairs(String(from).replace(/^\?/, ''));
    else if (typeof from[Symbol.iterator] === 'function') {
      this.#pairs = Array.from(from, (pair) => {
        const [name, value, ...more] = pair;
        if (value === undefined || more.length > 0) {
          throw new TypeError('Each query pair must be an iterable [name, value] tuple');
        }
        return [formed(name), formed(value)];
      });
    } else this.#pairs = Object.entries(from).map(([name, value]) => [formed(name), formed(value)]);
  }

  /** The parameters of a URL, which is told when they change. */
  static ofUrl(changed) {
    const found = new URLSearchParams();
    found.#changed = changed;
    return [found, (query) => { found.#pairs = formPairs(query); }];
  }

  get size() {
    return this.#pairs.length;
  }

  append(name, value) {
    this.#pairs.push([formed(name), formed(value)]);
    this.#changed();
  }

  delete(name, value) {
    this.#pairs = this.#pairs.filter((pair) => !matches(pair, name, value));
    this.#changed();
  }

  get(name) {
    return this.#pairs.find((pair) => matches(pair, name))?.[1] ?? null;
  }

  getAll(name) {
    return this.#pairs.filter((pair) => matches(pair, name)).map(([, value]) => value);
  }

  has(name, value) {
    return this.#pairs.some((pair) => matches(pair, name, value));
  }

  set(name, value) {
    const first = this.#pairs.find((pair) => matches(pair, name));
    if (first === undefined) this.#pairs.push([formed(name), formed(value)]);
    else {
      first[1] = formed(value);
      this.#pairs = this.#pairs.filter((pair) => pair === first || !matches(pair, name));
    }
    this.#changed();
  }

  sort() {
    this.#pairs.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
    this.#changed();
  }

  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries() {
    for (let at = 0; at < this.#pairs.length; at += 1) yield [...this.#pairs[at]];
  }

  *keys() {
    for (const [name] of this) yield name;
  }

  *values() {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  toString() {
    const written = (text) => escaped(text, FORM).replaceAll(' ', '+');
    return this.#pairs.map(([name, value]) => `${written(name)}=${written(value)}`).join('&');
  }
}

function matches([name, held], wanted, value) {
  return name === formed(wanted) && (value === undefined || held === formed(value));
}

function formed(value) {
  return String(value).toWellFormed();
}

function formPairs(query) {
  const read = (text) => fromUtf8(unescaped(text.replaceAll('+', ' ')));
  return query.split('&').filter(Boolean).map((pair) => {
    const [, name, value = ''] = /^([^=]*)(?:=(.*))?$/su.exec(pair);
    return [read(name), read(value)];
  });
}
