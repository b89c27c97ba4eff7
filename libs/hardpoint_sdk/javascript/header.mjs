// Owns the meaning of a plugin's header in any engine: what it describes, which functions are actions, what `this` is.

/** An error of ours that the author should see under a name of its own. */
export class PluginError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/** Return a module's default export when it is a header. */
export function checked(header) {
  if (header === null || typeof header !== 'object') {
    throw new PluginError('NoHeader', 'the module has no header: export default { id, actions: { ... } }');
  }
  return header;
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
