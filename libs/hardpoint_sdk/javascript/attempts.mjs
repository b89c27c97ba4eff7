// Owns telling the executor what code tries that no jail has: files outside the root, other hosts, other processes.
//
// Nothing here is a wall: plugin code can reach all of it, and silence it. It is for the security log, by name. For Node:
// in QuickJS there is nothing to try it with.

import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import dns from 'node:dns';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import path from 'node:path';

const MOST = 32;
const MOST_CHARACTERS = 300;
/** What is in the jail's root, but for /etc, where there is one file. */
const INSIDE = fs.readdirSync('/').filter((name) => name !== 'etc').map((name) => `/${name}/`);
const STARTS = ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'];
const { cwd } = process;

/** Tell of attempts from now on; each once, and not more than a few. */
export function watch(send) {
  const told = new Set();
  let within = false; // Node's functions call each other

  function tell(name, target) {
    const key = `${name} ${target}`;
    if (target === null || told.has(key) || told.size >= MOST) return;
    told.add(key);
    send({ attempt: { name, target: target.slice(0, MOST_CHARACTERS).toWellFormed() } });
  }

  function watched(owner, module, name, targetOf) {
    const real = owner[name];
    if (typeof real !== 'function') return;
    owner[name] = function (...given) {
      if (within) return Reflect.apply(real, this, given);
      try {
        tell(`${module}.${name}`, targetOf(...given));
      } catch {
        // it would become the error of what code did
      }
      within = true;
      try {
        return Reflect.apply(real, this, given);
      } finally {
        within = false;
      }
    };
    Object.defineProperties(owner[name], Object.getOwnPropertyDescriptors(real));
  }

  const files = Object.keys(fs.promises);
  for (const name of files) watched(fs.promises, 'fs', name, outside);
  for (const name of [...files, 'createReadStream', 'createWriteStream', 'exists', 'openAsBlob']) {
    watched(fs, 'fs', name, outside);
    watched(fs, 'fs', `${name}Sync`, outside);
  }
  for (const name of STARTS) watched(childProcess, 'child_process', name, String);
  for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6', 'reverse']) {
    watched(dns, 'dns', name, String);
    watched(dns.promises, 'dns', name, String);
  }
  watched(net.Socket.prototype, 'net', 'connect', place);
  watched(net.Server.prototype, 'net', 'listen', place);
  watched(dgram, 'dgram', 'createSocket', (options) => options.type ?? String(options));
  syncBuiltinESMExports();
}

/** A path that leads to nothing that the jail has; null for any other, and for descriptors. */
function outside(given) {
  const text = given instanceof URL ? given.pathname : Buffer.isBuffer(given) ? given.toString() : given;
  if (typeof text !== 'string') return null;
  const full = path.resolve(cwd(), text);
  return full === '/' || INSIDE.some((folder) => `${full}/`.startsWith(folder)) ? null : full;
}

/** Where to of net's many ways to say it: options, an array of them, a path, or a port and perhaps a host. */
function place(given, host) {
  const [options, second] = Array.isArray(given) ? given : [given, host];
  if (typeof options !== 'object') return typeof second === 'string' ? `${second}:${options}` : String(options);
  return options.path ?? `${options.host ?? 'localhost'}:${options.port}`;
}
