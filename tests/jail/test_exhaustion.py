"""Code that wants more processes or more disk than there is ends with that reason, and nothing else is called so."""

from collections.abc import AsyncIterator

import pytest

from executor.brokers import broker_of, client_of
from hardpoint_executor import domain, limits
from hardpoint_executor.artifacts import Code
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.jail import JailCall, Jails, launch
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_kit.errors import HardpointError
from jail.programs import execution, javascript, python, quickjs

LIMITS = {"PROCS": "1 process, 40 threads", "DISK": "16 MiB, 1024 files"}
WORDS = {"PROCS": "a call is one process", "DISK": "/tmp takes 16 MiB in at most 1024 files"}
CHILD = "const c = await import('node:child_process');\n"
FS = "const fs = await import('node:fs');\n"
SLEEPER = "import threading, time\nsleeper = lambda: threading.Thread(target=time.sleep, args=(9,), daemon=True)\n"


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with client_of({}) as client:
        yield broker_of(client)


async def ended(jails: Jails, broker: Broker, call: JailCall) -> HardpointError | None:
    code = Code(call.language, call.source)
    ran = await CodeRunner(jails).run(code, execution(call), {}, broker, domain.Limits(), lambda _event: None)
    assert ran.usage.wall_ms > 0
    return ran.error


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (python("import os\nwhile True: os.fork()"), "PROCS"),
        (python("import subprocess\nsubprocess.run(['true'])"), "PROCS"),
        (python("import os\nos.posix_spawn('/bin/true', ['true'], {})"), "PROCS"),
        (python("import multiprocessing\nmultiprocessing.Process(target=print).start()"), "PROCS"),
        (python(SLEEPER + "while True: sleeper().start()"), "PROCS"),
        (python(SLEEPER + "threading.stack_size(65536)\nwhile True: sleeper().start()"), "PROCS"),
        (javascript(CHILD + "for (;;) c.execFileSync('true');"), "PROCS"),
        (javascript(CHILD + "for (;;) c.execSync('true');"), "PROCS"),
        (javascript(CHILD + "c.spawn('true'); await new Promise(() => {});"), "PROCS"),
        (python("with open('large', 'wb') as file:\n    while True: file.write(bytes(1 << 20))"), "DISK"),
        (python("for n in range(5):\n    with open(f'{n}', 'wb') as file: file.write(bytes(4 << 20))"), "DISK"),
        (python("for n in range(2000): open(f'{n}', 'w').close()"), "DISK"),
        (
            python(
                "import sqlite3\nbase = sqlite3.connect('/tmp/base')\nbase.execute('create table t (c)')\n"
                "while True:\n    base.execute('insert into t values (zeroblob(1000000))')\n    base.commit()"
            ),
            "DISK",
        ),
        (javascript(FS + "for (;;) fs.appendFileSync('large', new Uint8Array(1 << 20));"), "DISK"),
        (javascript(FS + "for (let n = 0; ; n += 1) fs.writeFileSync(`${n}`, new Uint8Array(4 << 20));"), "DISK"),
        (javascript(FS + "for (let n = 0; ; n += 1) await fs.promises.writeFile(`${n}`, 'x');"), "DISK"),
    ],
)
async def test_a_limit_that_only_the_code_saw_is_named(jails: Jails, broker, call: JailCall, reason: str) -> None:
    error = await ended(jails, broker, call)
    assert error is not None
    assert error.reason == reason, error
    assert error.metadata["limit"] == LIMITS[reason]
    assert WORDS[reason] in error.message
    assert error.fix
    if "spawn(" not in call.source and "promises" not in call.source:  # those fail where no line of the file waits
        assert error.place.startswith("plugin."), error


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (python("import socket\nsocket.socket()"), "USER_ERROR"),
        (python("open('/etc/passwd', 'w')"), "USER_ERROR"),
        (python("raise RuntimeError('no, can\\'t start new thread')"), "USER_ERROR"),
        (javascript("const p = await import('node:process'); p.kill(1, 9);"), "USER_ERROR"),
        (javascript("throw new Error('EPERM');"), "USER_ERROR"),
        # V8 reserves more for an isolate than a call may have, so no worker comes to be.
        (
            javascript(
                "const w = await import('node:worker_threads');\n"
                "for (;;) await new Promise((_, no) => new w.Worker('for (;;);', { eval: true }).on('error', no));"
            ),
            "MEMORY",
        ),
    ],
)
async def test_nothing_else_is_called_so(jails: Jails, broker: Broker, call: JailCall, reason: str) -> None:
    error = await ended(jails, broker, call)
    assert error is not None
    assert error.reason == reason, error
    assert "limit" not in error.metadata or reason == "MEMORY"


@pytest.mark.parametrize("module", ["node:child_process", "node:fs", "os", "std"])
async def test_quickjs_has_neither_processes_nor_files(jails: Jails, broker: Broker, tier: str, module: str) -> None:
    if tier == "single-use":
        assert jails.engines("javascript") == ("node",)
        return
    error = await ended(jails, broker, quickjs(f"await import('{module}');"))
    assert error is not None
    assert error.reason == "USER_ERROR"
    assert f"could not load module '{module}'" in error.message


@pytest.mark.parametrize(
    "call",
    [
        python("import os\ntry: os.fork()\nexcept PermissionError as error: return error.errno"),
        javascript(CHILD + "return c.spawnSync('true').error.code;"),
    ],
    ids=["python", "javascript"],
)
async def test_a_refusal_that_is_caught_ends_nothing(jails: Jails, broker: Broker, call: JailCall) -> None:
    assert await ended(jails, broker, call) is None


@pytest.mark.parametrize("config", ["python.cfg", "node.cfg", "slot.cfg", "cgroup-v1.cfg", "cgroup-v2.cfg"])
def test_the_limits_that_are_told_are_those_that_are_set(config: str) -> None:
    text = (launch.HERE / config).read_text()
    threads = f"cgroup_pids_max: {limits.whole('kernel.threads')}\n"
    disk = f"size={limits.whole('kernel.tmp_mib') >> 20}m,nr_inodes={limits.whole('kernel.tmp_files')},"
    processor = f"rlimit_cpu: {limits.seconds('kernel.cpu_seconds'):g}\n"
    assert all(words in text for words in ([threads] if "cgroup" in config else [disk, processor]))
