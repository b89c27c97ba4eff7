"""S28: code that reaches for the machine finds nothing there: no file, no process, no network, no other call.

In both tiers and both topologies, with every engine in one of them: in one process Python (slots) and Node
(single-use), in many QuickJS (slots) and strict Python (single-use). QuickJS has no name to reach for
anything with, so there is no attempt to tell of, and cannot make a forbidden system call: Python does that in slots.
"""

import json

import pytest

from .conftest import ENGINES, Engine, add_file

PYTHON = """
import os
import socket
from hardpoint_sdk import action, capability

capability(id="nosy", name="Nosy", version="1.0.0", description="Looks around", ENGINE
           config={"region": {"type": "string", "default": "north", "description": "A setting"}})


@action(effect="read")
async def look(self, input):
    found = {}
    for path in ("/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/root", "/home", "/var/lib/hardpoint"):
        try:
            (os.listdir if path.count("/") == 1 else open)(path)
            found[path] = "THERE"
        except OSError as error:
            found[path] = type(error).__name__
    places = [(socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET, ("127.0.0.1", 5432)),
              (socket.AF_INET6, ("::1", 5432)), (socket.AF_UNIX, "/run/docker.sock")]
    for family, place in places:
        try:
            socket.socket(family).connect(place)
            found[str(place)] = "CONNECTED"
        except OSError as error:
            found[str(place)] = type(error).__name__
    try:
        found["dns"] = socket.getaddrinfo("example.com", 80)
    except OSError as error:
        found["dns"] = type(error).__name__
    left = os.listdir("/tmp")
    with open("/tmp/mine", "w") as file:
        file.write("mine")
    return {"found": found, "env": dict(os.environ), "config": self.config, "left": left}


@action(effect="read")
async def trace(self, input):
    import ctypes

    return ctypes.CDLL(None).ptrace(0, 0, 0, 0)
"""
NODE = """
import dns from 'node:dns/promises';
import fs from 'node:fs';
import net from 'node:net';
import process from 'node:process';

const knock = (place) => new Promise((resolve) => {
  net.connect(place).on('connect', () => resolve('CONNECTED')).on('error', (error) => resolve(error.code));
});

export default {
  id: 'nosy', name: 'Nosy', version: '1.0.0', description: 'Looks around',
  config: { region: { type: 'string', default: 'north', description: 'A setting' } },
  actions: {
    async look() {
      const found = {};
      for (const path of ['/etc/shadow', '/proc/1/environ', '/proc/self/environ', '/root', '/var/lib/hardpoint']) {
        try { fs.readFileSync(path); found[path] = 'THERE'; } catch (error) { found[path] = error.code; }
      }
      const hosts = [{ host: '169.254.169.254', port: 80 },
        { host: '127.0.0.1', port: 5432 }, { host: '::1', port: 53 }];
      for (const place of [...hosts, { path: '/run/docker.sock' }]) found[JSON.stringify(place)] = await knock(place);
      try { found.dns = await dns.lookup('example.com'); } catch (error) { found.dns = error.code; }
      const left = fs.readdirSync('/tmp');
      fs.writeFileSync('/tmp/mine', 'mine');
      return { found, env: { ...process.env }, config: this.config, left };
    },
    async trace() { process.setuid(0); },
  },
};
"""
QUICKJS = """
const sought = ['node:fs', 'node:net', 'node:dns', 'node:process', 'node:child_process', 'fs', 'std', 'os', 'qjs:os',
  '/etc/shadow', 'file:///proc/1/environ', 'http://169.254.169.254/', 'http://127.0.0.1:5432/', '/tmp/mine'];
const names = ['process', 'require', 'std', 'os', 'scriptArgs', 'Worker', 'XMLHttpRequest', 'WebSocket', 'Deno'];

export default {
  id: 'nosy', name: 'Nosy', version: '1.0.0', description: 'Looks around', ENGINE
  config: { region: { type: 'string', default: 'north', description: 'A setting' } },
  actions: {
    async look() {
      const found = {};
      for (const name of sought) {
        try { await import(name); found[name] = 'THERE'; } catch (error) { found[name] = error.name; }
      }
      for (const name of names) found[name] = name in globalThis ? 'THERE' : 'no such name';
      const left = globalThis.mine ?? [];
      globalThis.mine = ['mine'];
      return { found, config: this.config, left };
    },
  },
};
"""
SOURCES = {"python": PYTHON, "strict python": PYTHON, "node": NODE, "quickjs": QUICKJS}
REFUSALS = {"FileNotFoundError", "PermissionError", "gaierror", "ENOENT", "EPERM", "EAI_AGAIN", "EAI_FAIL", "ENOTFOUND"}
REFUSALS |= {"ReferenceError", "no such name"}
OF_PYTHON = {
    *(f"open {path}" for path in ("/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/var/lib/hardpoint")),
    *(f"os.listdir {path}" for path in ("/root", "/home")),
    *(f"socket.__new__ {family}" for family in ("AF_INET", "AF_INET6", "AF_UNIX")),
    "socket.getaddrinfo example.com:80",
}
OF_NODE = {
    *(f"fs.readFileSync {path}" for path in ("/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/root")),
    "fs.readFileSync /var/lib/hardpoint",
    *(f"net.connect {place}" for place in ("169.254.169.254:80", "127.0.0.1:5432", "::1:53", "/run/docker.sock")),
    "dns.lookup example.com",
}
ATTEMPTS = {"python": OF_PYTHON, "strict python": OF_PYTHON, "node": OF_NODE, "quickjs": set()}
KERNEL = {"python": {"socket"}}


@pytest.mark.jail
async def test_nothing_is_there_and_each_attempt_is_on_record(system, client, agent, org, engine: Engine):
    await add_file(client, agent, engine.file(SOURCES[engine.name]), f"nosy{engine.ending}")
    for _ in range(2):
        seen = await agent.execute("nosy.look")
        assert seen.error is None, seen.error
        assert len(seen.data["found"]) > 8
        assert set(seen.data["found"].values()) <= REFUSALS, seen.data["found"]
        assert engine.name == "quickjs" or seen.data["env"] == {"LANG": "C.UTF-8"}
        assert seen.data["config"] == {"region": "north"}
        assert seen.data["left"] == [], "what another call left"
    lines = [line for line in security_log(system, org) if line["run"] == seen.run]
    told = {f"{line['tried']} {line.get('target', '')}" for line in lines if line["told_by"] == "code"}
    assert told == ATTEMPTS[engine.name]
    assert {line["tried"] for line in lines if line["told_by"] == "kernel"} == KERNEL.get(engine.name, set())
    for line in lines:
        assert (line["code"], line["capability"]) == ("ATTEMPT", f"orgs/{org}/capabilities/nosy")


def security_log(system, org: str) -> list[dict]:
    lines = [json.loads(line) for line in system.deployment.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "hardpoint.security" and line["org"] == org]


@pytest.mark.jail
async def test_a_violation_is_on_record_with_its_system_call(system, client, agent, org, engine: Engine):
    if engine.name == "quickjs":
        engine = ENGINES["slots", "one"]
    told = {"syscall": "ptrace"} if engine.name == "python" else {"signal": "SIGSYS"}
    await add_file(client, agent, engine.file(SOURCES[engine.name]), f"nosy{engine.ending}")
    caught = await agent.execute("nosy.trace")
    assert caught.error.reason == "VIOLATION"
    assert told.items() <= caught.error.metadata.items()
    assert caught.run
    [line] = security_log(system, org)
    assert (line["code"], line["run"]) == ("VIOLATION", caught.run)
    assert told.items() <= line.items()
    assert (line["capability"], line["level"]) == (f"orgs/{org}/capabilities/nosy", "warning")
    assert line["execution"]
    assert line["trace_id"]
