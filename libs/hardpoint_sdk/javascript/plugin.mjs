// Owns the form of a JavaScript plugin: an ES module whose default export is a header with a table of actions.

import { isBuiltin } from 'node:module';
import vm from 'node:vm';

/** An error of ours that the author should see under a name of its own. */
export class PluginError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/** Run a module and return its default export. Imports reach Node's own modules, which are powerless in the jail. */
export async function load(source, filename) {
  const module = compiled(source, filename);
  await module.link(builtin);
  await module.evaluate();
  const header = module.namespace.default;
  if (header === null || typeof header !== 'object') {
    throw new PluginError('NoHeader', 'the module has no header: export default { id, actions: { ... } }');
  }
  return header;
}

function compiled(source, identifier) {
  try {
    return new vm.SourceTextModule(source, { identifier, importModuleDynamically: evaluatedBuiltin });
  } catch (error) {
    if (error instanceof SyntaxError) error.place = { file: identifier, ...placeOf(source, error.message) };
    throw error;
  }
}

/**
 * Find where a module cannot be parsed. V8 tells the place for scripts only, so the module is parsed again as the body
 * of a function, with its imports and exports blanked out; a place counts when the complaint is still the same.
 */
function placeOf(source, message) {
  const blank = (text) => text.replace(/[^\n]/g, ' ');
  const body = source
    .replace(/^([ \t]*)export\s+default\b/gm, (text, indent) => indent + 'void' + blank(text.slice(indent.length + 4)))
    .replace(/^[ \t]*export(?=\s+(?:const|let|var|async|function|class)\b)/gm, blank)
    .replace(/^[ \t]*import\b[^;'"]*['"][^'"]*['"];?/gm, blank);
  const opening = 'async () => {';
  try {
    new vm.Script(`${opening}${body}\n}`, { filename: 'place', columnOffset: -opening.length });
  } catch (error) {
    const [first, , marker] = error.stack.split('\n');
    const line = Number(/^place:(\d+)$/.exec(first)?.[1] ?? 0);
    const column = (marker ?? '').indexOf('^') + 1 - (line === 1 ? opening.length : 0);
    if (error.message === message) return { line, column };
  }
  return { line: 0, column: 0 };
}

/** Return the header as JSON: everything but functions, and its actions as a list. */
export function describe(header) {
  const { actions, ...words } = JSON.parse(JSON.stringify(header, (_, value) => value));
  return { ...words, actions: entries(header).map(({ run, ...described }) => described) };
}

/** Return the function of a declared action, looked up among the table's own names. */
export function find(header, id) {
  const known = entries(header).filter((entry) => entry.declared);
  const found = known.find((entry) => entry.id === id);
  if (found) return found.run;
  const names = known.map((entry) => entry.id).sort().join(', ') || 'none';
  throw new PluginError('ActionNotFound', `no action "${id}"; this capability has: ${names}`);
}

/** Return `this` of an action: the header's own functions and the table's, then what the platform offers. */
export function bind(header, offered) {
  const self = {};
  for (const [name, value] of Object.entries(header)) if (typeof value === 'function') define(self, name, value);
  const table = {};
  for (const { id, run } of entries(header)) {
    define(self, id, run);
    define(table, id, run.bind(self));
  }
  return Object.assign(self, offered, { actions: table });
}

/**
 * An action is a function, or an object {description, inputs, outputs, effect, run}. It is declared, that is callable
 * from outside, when the header's `exports` names it; without `exports`, when it is an object or async; and when none
 * is, every function is. The others are helpers.
 */
function entries(header) {
  const isAsync = (run) => run.constructor.name === 'AsyncFunction';
  const all = Object.entries(header.actions ?? {}).flatMap(([id, value]) => {
    if (typeof value === 'function') return [{ id, async: isAsync(value), declared: isAsync(value), run: value }];
    if (typeof value?.run !== 'function') return [];
    const { run, ...words } = value;
    return [{ ...words, id, async: isAsync(run), declared: true, run }];
  });
  if (Array.isArray(header.exports)) {
    return all.map((entry) => ({ ...entry, declared: header.exports.includes(entry.id) }));
  }
  return all.some((entry) => entry.declared) ? all : all.map((entry) => ({ ...entry, declared: true }));
}

function define(target, name, value) {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

async function evaluatedBuiltin(specifier) {
  const found = await builtin(specifier);
  await found.link(() => {});
  await found.evaluate();
  return found;
}

async function builtin(specifier) {
  if (!isBuiltin(specifier)) {
    throw new PluginError('ImportRefused', `cannot import "${specifier}": a capability is one file, beside Node's own modules`);
  }
  const found = await import(specifier);
  const names = Object.keys(found).filter((name) => name !== 'default');
  return new vm.SyntheticModule(['default', ...names], function fill() {
    this.setExport('default', found.default ?? found);
    for (const name of names) this.setExport(name, found[name]);
  });
}
