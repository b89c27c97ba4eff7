"""S27: code that takes all it can gets an end of its own kind, and the neighbour's call does not notice.

In both tiers and both topologies, with every engine in one of them: in one process Python (slots) and Node
(single-use), in many QuickJS (slots) and strict Python (single-use).
"""

import asyncio

import pytest

from .conftest import CSV, Engine, add_file

PYTHON = """
import os
from hardpoint_sdk import action, capability

capability(id="ID", name="Greedy", version="1.0.0", description="Takes all it can", ENGINE
           permissions=PERMISSIONS)


@action(effect="read")
async def spin(self, input):
    while True:
        pass


@action(effect="read")
async def memory(self, input):
    return len(bytearray(1 << 30))


@action(effect="read")
async def processes(self, input):
    while True:
        os.fork()


@action(effect="read")
async def disk(self, input):
    with open("/tmp/large", "wb") as file:
        for _ in range(10 << 10):
            file.write(bytes(1 << 20))


@action(effect="read")
async def output(self, input):
    for _ in range(100):
        print("x" * (1 << 20))
"""
NODE = """
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import process from 'node:process';

export default {
  id: 'ID', name: 'Greedy', version: '1.0.0', description: 'Takes all it can', permissions: PERMISSIONS,
  actions: {
    async spin() { while (true) {} },
    async memory() { const kept = []; for (let n = 0; n < 128; n += 1) kept.push(new Array(1 << 20).fill(1.5)); },
    async processes() { for (;;) execFileSync(process.execPath, ['-v']); },
    async disk() { for (let n = 0; n < 10 << 10; n += 1) fs.appendFileSync('/tmp/large', new Uint8Array(1 << 20)); },
    async output() { for (;;) try { fs.writeSync(1, 'x'.repeat(1 << 20)); } catch { /* a full pipe, try again */ } },
  },
};
"""
QUICKJS = """
export default {
  id: 'ID', name: 'Greedy', version: '1.0.0', description: 'Takes all it can', ENGINE permissions: PERMISSIONS,
  actions: {
    async spin() { while (true) {} },
    async memory() { const kept = []; for (;;) kept.push(new Array(1 << 20).fill(1.5)); },
    async processes() { return import('node:child_process'); },
    async disk() { return import('node:fs'); },
    async output() { for (;;) console.log('x'.repeat(1 << 10)); },
    async result() { return 'x'.repeat(2 << 20); },
  },
};
"""
SOURCES = {"python": PYTHON, "strict python": PYTHON, "node": NODE, "quickjs": QUICKJS}
TIERS = {"hasty": "[]", "patient": '["compute.moderate"]'}
"""One second is enough to spin; taking memory may take longer than that on a busy machine."""
ENDS = {
    "spin": ("TIMEOUT", ""),
    "memory": ("MEMORY", ""),
    "processes": ("PROCS", "a call is one process"),
    "disk": ("DISK", "/tmp takes 16 MiB"),
    "output": ("OUTPUT_LIMIT", ""),
}
ENDS_OF_QUICKJS = ENDS | {
    "processes": ("USER_ERROR", "could not load module 'node:child_process'"),
    "disk": ("USER_ERROR", "could not load module 'node:fs'"),
    "output": ("BUDGET", "log messages"),
    "result": ("OUTPUT_LIMIT", ""),
}
"""It has neither processes nor files nor an output: what it prints is its log."""


@pytest.mark.jail
async def test_each_ends_with_its_own_code(system, client, agent, add, engine: Engine):
    for tier, permissions in TIERS.items():
        source = engine.file(SOURCES[engine.name].replace("ID", tier).replace("PERMISSIONS", permissions))
        await add_file(client, agent, source, f"greedy{engine.ending}")
    await add("custom_data_analyzer.py")
    ended = asyncio.Event()

    async def neighbour() -> int:
        answered = 0
        while not ended.is_set():
            answer = await agent.execute(
                "data-analyzer-python.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"}
            )
            assert answer.error is None, answer.error
            answered += 1
        return answered

    living = asyncio.create_task(neighbour())
    for name, (reason, said) in (ENDS_OF_QUICKJS if engine.name == "quickjs" else ENDS).items():
        answer = await agent.execute(f"{'hasty' if reason == 'TIMEOUT' else 'patient'}.{name}")
        assert answer.error is not None, name
        assert answer.error.reason == reason, (name, answer.error)
        assert said in answer.error.message, (name, answer.error)
        assert answer.run, "the failure is on record"
    ended.set()
    assert await living > 0
