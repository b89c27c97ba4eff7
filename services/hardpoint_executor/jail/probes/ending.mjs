// Does what ends a plugin, in JavaScript under Node: it has no use for what takes long to load.
import fs from 'node:fs';
import process from 'node:process';

export default {
  id: 'ending',
  actions: {
    async forbidden() {
      process.setuid(0);
      return 'it came back';
    },
    async spin() {
      for (;;);
    },
    async flood() {
      for (;;) fs.writeSync(1, 'x'.repeat(1000));
    },
  },
};
