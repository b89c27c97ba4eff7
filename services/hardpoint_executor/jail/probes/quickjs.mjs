// Looks for what the engine must not have: any way to the system it runs on.

const absent = (...names) => names.every((name) => typeof globalThis[name] === 'undefined');
const refused = async (name) => {
  try {
    await import(name);
    return false;
  } catch {
    return true;
  }
};

export default {
  id: 'probe',
  actions: {
    async probe() {
      const modules = ['os', 'std', 'qjs:os', 'qjs:std', 'fs', 'node:fs', '/etc/passwd', './quickjs.mjs'];
      const found = await Promise.all(modules.map(refused));
      const gone = absent('process', 'require', 'os', 'std', 'Deno', 'Bun', 'Worker', 'XMLHttpRequest', 'WebSocket');
      return gone && found.every(Boolean);
    },
  },
};
