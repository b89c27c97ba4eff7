"""What is refused inside a jail is told outside by name: by the kernel in slots, by the interpreter in both tiers."""

import asyncio

import pytest

from hardpoint_executor.jail import Jails, OutcomeKind
from hardpoint_executor.jail.interface import Outcome

from .programs import javascript, python, quickjs
from .shared import SharedJails

CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result < 0 else 0
"""
EPERM = 1
SYSTEM_CALLS = {
    "socket": (41, 2, 1, 0),
    "connect": (42, 1, 0, 0),
    "bind": (49, 1, 0, 0),
    "listen": (50, 1, 0),
    "accept": (43, 1, 0, 0),
    "accept4": (288, 1, 0, 0, 0),
    "fork": (57,),
    "vfork": (58,),
    "execveat": (322, 0, 0, 0, 0, 0),
    "clone": (56, 17, 0, 0, 0, 0),
}
PYTHON = {
    "open('/etc/shadow')": "open /etc/shadow",
    "open(b'/proc/1/environ')": "open /proc/1/environ",
    "open('../root/.ssh/id_rsa')": "open /root/.ssh/id_rsa",
    "import os\nos.listdir('/var/lib/hardpoint')": "os.listdir /var/lib/hardpoint",
    "import pathlib\npathlib.Path('/home/me').mkdir()": "os.mkdir /home/me",
    "import socket\nsocket.socket()": "socket.__new__ AF_INET",
    "import _socket\n_socket.socket(10, 1)": "socket.__new__ AF_INET6",
    "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/docker.sock')": "socket.__new__ AF_UNIX",
    "import socket\nsocket.create_connection(('169.254.169.254', 80))": "socket.getaddrinfo 169.254.169.254:80",
    "import socket\nsocket.gethostbyname('example.com')": "socket.gethostbyname example.com",
    "import os\nos.fork()": "os.fork",
    "import os\nassert os.system('id') == 0": "os.system id",
    "import subprocess\nsubprocess.run(['/bin/sh'])": "subprocess.Popen /bin/sh",
    "import os\nos.kill(1, 9)\nraise OSError": "os.kill",
}
NODE = {
    "(await import('node:fs')).readFileSync('/etc/shadow')": "fs.readFileSync /etc/shadow",
    "await (await import('node:fs/promises')).readFile('/proc/1/environ')": "fs.readFile /proc/1/environ",
    "const { statSync } = await import('node:fs'); statSync(new URL('file:///root/.ssh'))": "fs.statSync /root/.ssh",
    "(await import('node:fs')).readdirSync('/tmp/../home')": "fs.readdirSync /home",
    "await new Promise((_, no) => net.connect(5432, '127.0.0.1').on('error', no))": "net.connect 127.0.0.1:5432",
    "await new Promise((_, no) => net.connect({ host: '::1', port: 53 }).on('error', no))": "net.connect ::1:53",
    "await new Promise((_, no) => net.connect('/run/docker.sock').on('error', no))": "net.connect /run/docker.sock",
    "await (await import('node:dns/promises')).lookup('example.com')": "dns.lookup example.com",
    "(await import('node:child_process')).execSync('id')": "child_process.execSync id",
    "await new Promise((_, no) => dgram.createSocket('udp4').on('error', no).bind(53))": "dgram.createSocket udp4",
}
NODE_IMPORTS = "const net = await import('node:net'), dgram = await import('node:dgram');\n"
HONEST = """
import asyncio, os, random, socket, tempfile, threading, uuid, zoneinfo
one, other = socket.socketpair()
one.send(b"x")
threading.Thread(target=other.recv, args=(1,)).start()
with tempfile.TemporaryFile() as file:
    file.write(b"x")
home = os.path.expanduser("~")
for path in ("/etc/localtime", "/proc/cpuinfo", "/dev/urandom", "/tmp/none", "none", "/usr/share/zoneinfo", "/", home):
    try:
        open(path)
    except OSError:
        pass
await asyncio.to_thread(os.listdir, "/tmp")
return str(uuid.uuid4())
"""


def told(outcome: Outcome, by: str) -> list[str]:
    return [f"{one.name} {one.target}".rstrip() for one in outcome.attempts if one.told_by == by]


async def test_the_kernel_tells_of_each_refused_system_call_in_slots(jails: Jails, door, tier: str) -> None:
    """However it is made: here past Python, in threads and again and again."""
    body = (
        CALL
        + """
import threading
def all_of_them():
    for arguments in input.values():
        for _ in range(100):
            refusals.append(call(*arguments))
refusals = []
threads = [threading.Thread(target=all_of_them) for _ in range(3)]
for thread in threads:
    thread.start()
all_of_them()
for thread in threads:
    thread.join()
return [sorted(set(refusals)), len(refusals)]
"""
    )
    outcome = await jails.run(python(body, SYSTEM_CALLS), door)
    assert outcome.value == [[EPERM], 4 * 100 * len(SYSTEM_CALLS)], outcome
    assert sorted(told(outcome, "kernel")) == (sorted(SYSTEM_CALLS) if tier == "slots" else [])


async def test_threads_and_pairs_of_sockets_are_no_attempts(jails: Jails, door) -> None:
    outcome = await jails.run(python(HONEST), door)
    assert outcome.ok, outcome
    assert outcome.attempts == ()


@pytest.mark.parametrize("body", PYTHON)
async def test_python_tells_of_what_it_is_asked_for(jails: Jails, door, body: str) -> None:
    outcome = await jails.run(python(body), door)
    assert outcome.kind is OutcomeKind.USER_ERROR, outcome
    assert PYTHON[body] in told(outcome, "code")


@pytest.mark.parametrize("body", NODE)
async def test_node_tells_of_what_it_is_asked_for(jails: Jails, door, body: str) -> None:
    outcome = await jails.run(javascript(f"{NODE_IMPORTS}{body};\nreturn 'done';"), door)
    assert outcome.kind is OutcomeKind.USER_ERROR, outcome
    assert NODE[body] in told(outcome, "code")


async def test_node_that_behaves_tells_of_nothing(jails: Jails, door) -> None:
    body = """
      const fs = await import('node:fs');
      fs.writeFileSync('/tmp/a', 'x');
      for (const path of ['/dev/urandom', '/etc/localtime', 'none']) try { fs.readFileSync(path); } catch {}
      return [fs.readFileSync('/tmp/a', 'utf-8'), fs.existsSync('/tmp'), typeof fs.realpathSync.native];
    """
    outcome = await jails.run(javascript(body), door)
    assert outcome.value == ["x", True, "function"]
    assert outcome.attempts == ()


async def test_quickjs_has_nothing_to_try_it_with(shared_jails: SharedJails, door) -> None:
    jails = await shared_jails.of("slots")
    outcome = await jails.run(quickjs("try { await import('fs'); } catch (error) { return error.name; }"), door)
    assert (outcome.value, outcome.attempts) == ("ReferenceError", ())


async def test_an_attempt_is_told_of_however_the_call_ends(jails: Jails, door) -> None:
    tries = "try:\n    open('/etc/shadow')\nexcept OSError:\n    pass\n"
    for end, kind in (
        ("return 1", OutcomeKind.OK),
        ("while True: pass", OutcomeKind.TIMEOUT),
        ("import os\nos._exit(3)", OutcomeKind.PROTOCOL),
        ("import os\nos.setuid(0)", OutcomeKind.VIOLATION),
    ):
        outcome = await jails.run(python(tries + end, wall_seconds=0.5), door)
        assert (outcome.kind, told(outcome, "code")) == (kind, ["open /etc/shadow"])


async def test_a_flood_of_attempts_is_cut_and_hurts_nobody(jails: Jails, door) -> None:
    """Of its interpreter's own telling there are few; what code makes up counts as log, which has a limit."""
    body = "for n in range(3000):\n    try:\n        open(f'/root/{n}')\n    except OSError:\n        pass\nreturn 1"
    outcome = await jails.run(python(body), door)
    assert (outcome.value, len(outcome.attempts)) == (1, 32)
    forged = """
from hardpoint_sdk import channel
for n in range(input):
    channel.send({"attempt": {"name": "x" * 40, "target": str(n)}})
return 1
"""
    outcome = await jails.run(python(forged, 100), door)
    assert (outcome.value, len(outcome.attempts)) == (1, 32)
    assert (await jails.run(python(forged, 100_000), door)).kind is OutcomeKind.BUDGET
    outcome = await jails.run(python("from hardpoint_sdk import channel\nchannel.send({'attempt': {'name': 1}})"), door)
    assert outcome.kind is OutcomeKind.PROTOCOL


async def test_who_makes_refused_calls_without_end_is_ended_by_its_deadline(jails: Jails, door) -> None:
    forty = (
        CALL
        + """
import threading
threading.stack_size(64 * 1024)
def knock():
    while True:
        call(41, 2, 1, 0)
for _ in range(20):
    threading.Thread(target=knock).start()
knock()
"""
    )
    knocking = asyncio.create_task(jails.run(python(forty, wall_seconds=1.0), door))
    assert (await jails.run(python("return 1", capability="other"), door)).value == 1
    assert (await knocking).kind is OutcomeKind.TIMEOUT
    assert (await jails.run(python("return 1"), door)).attempts == (), "of the next call nothing is told"
