"""Owns the proof that the walls hold on this machine: a probe in each language tries what no plugin may do.

It runs at every start, through the same path as any call. What it finds open is a reason not to be ready.
"""

from .calls import Calls
from .interface import ClosedDoor, JailCall, Limits

_WALLS = {
    "network": "a socket can be opened",
    "environment": "the environment holds more than LANG",
    "files": "files of the machine can be seen",
    "root": "the root folder can be written to",
    "processes": "a process can be started",
    "identity": "the plugin is not an unprivileged user",
}
"""Each wall of the probes, and what it means that it is down."""

_PROBES = {
    "python": (
        "probe.py",
        """
import os, socket
from hardpoint_sdk import action, capability
capability(id="probe")
def refused(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False
@action
async def probe(self, input):
    return {
        "network": refused(lambda: socket.create_connection(("127.0.0.1", 9), 0.1)) and refused(socket.socket),
        "environment": list(os.environ) == ["LANG"],
        "files": not any(map(os.path.exists, ("/proc", "/sys", "/dev", "/root", "/home", "/etc/shadow", "/bin/sh"))),
        "root": refused(lambda: open("/probe", "w")) and refused(lambda: open("/sdk/probe", "w")),
        "processes": refused(os.fork),
        "identity": os.getuid() == 65534,
    }
""",
    ),
    "javascript": (
        "probe.js",
        """
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import process from 'node:process';
const refused = (attempt) => { try { attempt(); return false; } catch { return true; } };
const connected = () => new Promise((resolve) => {
  const socket = net.connect(9, '127.0.0.1');
  socket.on('error', (error) => resolve(error.code !== 'EPERM'));
  socket.on('connect', () => resolve(true));
});
const paths = ['/proc', '/sys', '/dev', '/root', '/home', '/etc/shadow', '/bin/sh'];
export default { id: 'probe', actions: { async probe() {
  return {
    network: !(await connected()),
    environment: Object.keys(process.env).join() === 'LANG',
    files: !paths.some((path) => fs.existsSync(path)),
    root: refused(() => fs.writeFileSync('/probe', '')) && refused(() => fs.writeFileSync('/sdk/probe', '')),
    processes: spawnSync(process.execPath, ['-v']).error?.code === 'EPERM',
    identity: process.getuid() === 65534,
  };
} } };
""",
    ),
}


async def walls_down(calls: Calls, language: str) -> list[str]:
    """Return what is wrong with the jail of a language; empty when every wall holds."""
    filename, source = _PROBES[language]
    described = await calls.describe(source, filename)
    if not described.ok:
        return [f"{language}: a module cannot be described ({described.kind}: {described.message})"]
    call = JailCall(language, source, filename, "probe", {}, limits=Limits(wall_seconds=5.0, broker_calls=0))
    outcome = await calls.run(call, ClosedDoor())
    if not outcome.ok or not isinstance(outcome.value, dict):
        return [f"{language}: the probe did not end well ({outcome.kind}: {outcome.message})"]
    held = outcome.value
    return [f"{language}: {meaning}" for wall, meaning in _WALLS.items() if held.get(wall) is not True]
