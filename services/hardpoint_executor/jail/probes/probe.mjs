// Tries what no plugin may do, from inside a jail, in JavaScript under Node; each name is a wall of ../walls.py, true
// if it holds.
import { execFileSync, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import process from 'node:process';

const MIB = 1 << 20;
const HOST = ['/root', '/home', '/boot', '/var', '/run', '/mnt', '/etc/shadow', '/etc/hostname', '/bin/sh',
  '/usr/bin/env', '/.dockerenv', '/etc/resolv.conf', '/var/run/secrets/kubernetes.io/serviceaccount/token'];

const refused = (attempt) => {
  try {
    attempt();
    return false;
  } catch {
    return true;
  }
};
const unreachable = (...where) => new Promise((resolve) => {
  const socket = net.connect(...where);
  socket.on('error', (error) => resolve(error.code === 'EPERM'));
  socket.on('connect', () => resolve(false));
});
const unbound = (family) => new Promise((resolve) => {
  const socket = dgram.createSocket(family);
  socket.on('error', (error) => resolve(error.code === 'EPERM'));
  socket.bind(0, () => resolve(false));
});

async function network() {
  const ip = await Promise.all([unreachable(9, '127.0.0.1'), unreachable(9, '::1'), unbound('udp4'), unbound('udp6')]);
  const unix = await Promise.all([unreachable('/tmp/socket'), unreachable('\0abstract')]);
  return { network_ip: ip.every(Boolean), network_unix: unix.every(Boolean) };
}

function descriptors() {
  const own = fs.statSync('/'); // Node itself opens the root folder
  const opened = [...Array(256).keys()].filter((descriptor) => !refused(() => fs.fstatSync(descriptor)));
  const foreign = opened.map((descriptor) => fs.fstatSync(descriptor)).filter((kind) =>
    (kind.isDirectory() && (kind.dev !== own.dev || kind.ino !== own.ino)) || kind.isFile() || kind.isBlockDevice());
  return { descriptors: foreign.length === 0 };
}

function files() {
  const tmp = fs.statfsSync('/tmp');
  fs.writeFileSync('/tmp/probe', '#!/usr/bin/node\n');
  return {
    proc: !fs.existsSync('/proc/self'),
    sys: !fs.existsSync('/sys/kernel'),
    dev: !fs.existsSync('/dev/null') && !fs.existsSync('/dev/mem'),
    host_files: !HOST.some((path) => fs.existsSync(path)),
    root_folder: refused(() => fs.writeFileSync('/probe', '')),
    sdk_folder: refused(() => fs.writeFileSync('/sdk/probe', ''))
      && refused(() => fs.appendFileSync('/sdk/hardpoint_sdk/boot.mjs', '')),
    tmp_size: tmp.blocks * tmp.bsize <= 16 * MIB,
    tmp_files: tmp.files > 0 && tmp.files <= 1024,
    tmp_programs: refused(() => fs.chmodSync('/tmp/probe', 0o4755)) && refused(() => execFileSync('/tmp/probe')),
    links: refused(() => fs.symlinkSync('/sdk', '/tmp/link')) && refused(() => fs.linkSync('/tmp/probe', '/tmp/other')),
  };
}

function identity() {
  return {
    user: process.getuid() === 65534 && process.geteuid() === 65534,
    groups: process.getgid() === 65534 && process.getgroups().every((group) => group === 65534),
    environment: Object.keys(process.env).join() === 'LANG',
    hostname: os.hostname() === 'jail',
    process_ids: process.pid === 1 && process.ppid === 0,
    input: fs.readSync(0, Buffer.alloc(1)) === 0,
  };
}

function kernel() {
  return {
    processes: spawnSync(process.execPath, ['-v']).error?.code === 'EPERM',
    signals: refused(() => process.kill(-1, 0)) && refused(() => process.kill(1, 0)),
    priority: refused(() => os.setPriority(0, -10)),
  };
}

function limits() {
  process.report.excludeNetwork = true;
  const set = process.report.getReport().userLimits;
  const within = (name, most) => Number(set[name].hard) <= most;
  return {
    core_dumps: within('core_file_size_blocks', 0),
    limits: within('open_files', 64) && within('max_user_processes', 64) && within('file_size_blocks', 16 * MIB)
      && within('stack_size_bytes', 8 * MIB) && within('max_locked_memory_bytes', 65536)
      && within('cpu_time_seconds', 3600),
    memory: refused(() => Buffer.alloc(1024 * MIB, 1)),
  };
}

export default {
  id: 'probe',
  actions: {
    async probe(input) {
      const found = { ...descriptors(), ...await network(), ...files(), ...identity(), ...kernel(), ...limits() };
      process.umask(input.umask);
      await fetch('https://outside.invalid/');
      return found;
    },
  },
};
