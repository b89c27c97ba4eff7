// Owns the form of a JavaScript plugin: an ES module whose default export is a header with a table of actions.

import { isBuiltin } from 'node:module';
import vm from 'node:vm';

import { PluginError, checked } from './header.mjs';

/** Run a module and return its default export. Imports reach Node's own modules, which are powerless in the jail. */
export async function load(source, filename) {
  const module = compiled(source, filename);
  await module.link(builtin);
  await module.evaluate();
  return checked(module.namespace.default);
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
