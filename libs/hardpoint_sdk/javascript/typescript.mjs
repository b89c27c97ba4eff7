// Owns TypeScript: its types are blanked out by Node's own stripper, so that every line and column stays where it was.
//
// Nothing is compiled. What would need code written for it (enums, namespaces, parameter properties) is refused.

import module from 'node:module';
import process from 'node:process';

import { PluginError } from './header.mjs';

const NAMES = {
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX: 'TypeScriptUnsupported',
  ERR_INVALID_TYPESCRIPT_SYNTAX: 'SyntaxError',
};
const SOURCE_BYTES = 1024 * 1024 - 4096;
const TAB = 4;
const WIDE = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{Extended_Pictographic}\uff01-\uff60]/u;

/** Return a file's JavaScript: itself, or what is left of TypeScript without its types. Throws with the place. */
export function javascript(source, filename) {
  if (!/\.m?ts$/i.test(filename)) return source;
  if (!module.stripTypeScriptTypes) {
    throw new PluginError('TypeScriptUnavailable', `Node ${process.versions.node} cannot take types out; 24 can`);
  }
  let stripped;
  try {
    stripped = module.stripTypeScriptTypes(source, { mode: 'strip' });
  } catch (error) {
    // Any other error is the parser's own end: its stack, or its memory.
    const name = NAMES[error.code];
    const refused = new PluginError(name ?? 'SyntaxError', name ? error.message : 'it is nested too deep to be read');
    refused.place = { file: filename, ...(name ? placeOf(source, error) : { line: 1, column: 1 }) };
    throw refused;
  }
  // It must fit the one frame in which it leaves the jail, whole.
  if (Buffer.byteLength(JSON.stringify(stripped)) > SOURCE_BYTES) {
    throw new PluginError('TypeScriptTooLarge', `without its types the file has more than ${SOURCE_BYTES} bytes as JSON`);
  }
  return stripped;
}

/** Find the place that Node drew for a terminal: `file:line`, the lines around it, and marks under what is wrong. */
function placeOf(source, error) {
  const [first, ...drawn] = String(error.stack).split('\n');
  const line = Number(/:(\d+)$/.exec(first)?.[1] ?? 0);
  const marks = drawn.find((text) => /^\s*\^+\s*$/.test(text));
  if (line === 0 || marks === undefined) return { line, column: 0 };
  let [column, width] = [1, 0];
  for (const character of source.split('\n')[line - 1] ?? '') {
    if (width >= marks.indexOf('^')) break;
    width += character === '\t' ? TAB - (width % TAB) : WIDE.test(character) ? 2 : 1;
    column += character.length;
  }
  return { line, column };
}
