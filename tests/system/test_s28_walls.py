"""S28: code that reaches for the machine finds nothing there: no file, no process, no network, no other call."""

import json

import pytest

from .conftest import add_file

PYTHON = b"""
import os
import socket
from hardpoint_sdk import action, capability

capability(id="nosy", name="Nosy", version="1.0.0", description="Looks around",
           config={"region": {"type": "string", "default": "north", "description": "A setting"}})


@action(effect="read")
async def look(self, input):
    found = {}
    for path in ("/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/root", "/home", "/var/lib/hardpoint"):
        try:
            os.stat(path)
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
    return {"found": found, "env": dict(os.environ), "config": self.config, "tmp": left}


@action(effect="read")
async def trace(self, input):
    import ctypes

    return ctypes.CDLL(None).ptrace(0, 0, 0, 0)
"""
JAVASCRIPT = b"""
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
        try { fs.statSync(path); found[path] = 'THERE'; } catch (error) { found[path] = error.code; }
      }
      const hosts = [{ host: '169.254.169.254', port: 80 },
        { host: '127.0.0.1', port: 5432 }, { host: '::1', port: 53 }];
      for (const place of [...hosts, { path: '/run/docker.sock' }]) found[JSON.stringify(place)] = await knock(place);
      try { found.dns = await dns.lookup('example.com'); } catch (error) { found.dns = error.code; }
      const tmp = fs.readdirSync('/tmp');
      fs.writeFileSync('/tmp/mine', 'mine');
      return { found, env: { ...process.env }, config: this.config, tmp };
    },
    async trace() { process.setuid(0); },
  },
};
"""
FILES = {"nosy.py": PYTHON, "nosy.js": JAVASCRIPT}
REFUSALS = {"FileNotFoundError", "PermissionError", "gaierror", "ENOENT", "EPERM", "EAI_AGAIN", "EAI_FAIL", "ENOTFOUND"}


@pytest.mark.jail
@pytest.mark.parametrize("filename", FILES)
async def test_nothing_is_there(system, client, agent, filename):
    await add_file(client, agent, FILES[filename], filename)
    for _ in range(2):
        seen = await agent.execute("nosy.look")
        assert seen.error is None, seen.error
        assert set(seen.data["found"].values()) <= REFUSALS, seen.data["found"]
        assert seen.data["env"] == {"LANG": "C.UTF-8"}
        assert seen.data["config"] == {"region": "north"}
        assert seen.data["tmp"] == [], "another call's file"


@pytest.mark.jail
@pytest.mark.parametrize(
    ("filename", "told"), [("nosy.py", {"syscall": "ptrace"}), ("nosy.js", {"signal": "SIGSYS"})], ids=FILES
)
async def test_a_violation_is_on_record_with_its_system_call(system, client, agent, org, filename, told):
    await add_file(client, agent, FILES[filename], filename)
    caught = await agent.execute("nosy.trace")
    assert caught.error.reason == "VIOLATION"
    assert told.items() <= caught.error.metadata.items()
    assert caught.run
    lines = [json.loads(line) for line in system.deployment.log().splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["logger"] == "hardpoint.security" and line["org"] == org]
    assert (line["code"], line["run"]) == ("VIOLATION", caught.run)
    assert told.items() <= line.items()
    assert (line["capability"], line["level"]) == (f"orgs/{org}/capabilities/nosy", "warning")
    assert line["execution"]
    assert line["trace_id"]
