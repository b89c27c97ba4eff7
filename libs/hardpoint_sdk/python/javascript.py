"""Owns the inside of a QuickJS jail, on its Python side: the engine with the SDK in it, its jobs, and the channel.

The same SDK as under Node, less what is Node's own. Nothing here is a wall: the jail is the wall, and the executor
decides what came of it.
"""

import json
import math
import os
import re
import select
from pathlib import Path
from typing import Any

import _quickjs

from . import channel

_FOLDER = Path(__file__).parent / "javascript"
_CALLED = ("bytes", "header", "services", "websocket", "host", "utils", "timers", "quickjs")
"""What every call runs. Each module may import those before it."""
_GLOBALS = ("abort", "chance", "clone", "encoding", "params", "url", "globals")
"""What few calls run. It comes after, so that in memory it does not lie between what every call touches."""
_SDK_LINES = 1_000_000
"""The engine gives all that it runs one file name; the SDK is told apart by lines that no plugin has."""
_STACK_BYTES = 4 * 1024 * 1024
_RESULT_BYTES = 1024 * 1024
_NO_MEMORY = channel.framed(b'{"failure":{"name":"MemoryError","message":"out of memory","stack":[]}}')
_WARM = "export default { id: 'warm', actions: { async warm(input) { return this.utils.mean(input); } } };"

_DRIVER = """
(function () {
  const { carry, answered, entropy } = globalThis;
  const say = (text) => { if (carry(text) === false) throw new Error('the channel is closed'); };
  const driver = modules.quickjs.prepared(say);
  modules.globals.furnish(driver.timers, (count) => entropy(count));
  globalThis.begin = (frame) => driver.begin(frame, () => import('<input>'), (answer) => { answered(answer); });
  globalThis.settle = (frame) => { driver.settle(frame); };
  globalThis.ring = () => { driver.ring(); };
  globalThis.pause = () => driver.pause();
})();
"""

_NO_COLLECTION = "(function () { new ArrayBuffer(4 << 20); return [{}].length; })();"
"""Raises what must be in use before the engine looks for garbage, which touches every page, to above what calls use."""


class Engine:
    """QuickJS with the SDK; it runs one plugin, for every call of it."""

    def __init__(self) -> None:
        self._context = _quickjs.Context()
        self._context.set_max_stack_size(_STACK_BYTES)
        self._answer: str | None = None
        self._loaded = False
        self._context.add_callable("carry", self._carry)
        self._context.add_callable("answered", self._answered)
        self._context.add_callable("entropy", lambda count: os.urandom(count).hex())
        self._context.eval("\n" * _SDK_LINES + _sdk() + _DRIVER + _NO_COLLECTION)
        names = ("begin", "settle", "ring", "pause")
        self._begin, self._settle, self._ring, self._pause = (self._context.get(name) for name in names)
        passed = (*names, "carry", "answered", "entropy", "modules")
        self._context.eval(";".join(f"delete globalThis.{name}" for name in passed))

    def answer(self, frame: dict[str, Any]) -> bytes:
        """Run a call, or describe a module, and return the frame to answer with."""
        words = frame.get("call") or frame["describe"]
        source = words.pop("source")
        self._answer = None
        try:
            if not self._loaded:  # by a call of the same run
                self._context.module(source)
                self._loaded = True
            self._begin(json.dumps(frame))
            return self._driven(words.get("result_bytes", _RESULT_BYTES))
        except _quickjs.JSException as error:
            return _failure(str(error), words["filename"])

    def _driven(self, most: int) -> bytes:
        """Run jobs, and take replies and timers while none is left, until there is an answer."""
        while True:
            while self._context.execute_pending_job():
                pass
            if self._answer is not None:
                break
            pause = self._pause()
            if pause is None:
                message = "the action waits for something that never comes"
                return channel.encode({"failure": {"name": "NoResult", "message": message, "stack": []}})
            if _readable(pause / 1000):
                self._settle(channel.receive_text())
            else:
                self._ring()
        answer = channel.framed(self._answer.encode())
        if len(answer) <= most:
            return answer
        message = f"the result has {len(answer)} bytes; at most {most} are accepted"
        return channel.encode({"failure": {"name": "ResultTooLarge", "message": message, "stack": []}})

    def _carry(self, text: str) -> bool:
        try:
            channel.send_bytes(channel.framed(text.encode()))
        except Exception:
            return False
        return True

    def _answered(self, text: str) -> None:
        if self._answer is None:
            self._answer = text


def warm() -> Engine:
    """Run the path of a call once, and return an engine in which no plugin ran."""
    call = {"source": _WARM, "filename": "warm.js", "action": "warm", "input": [1, 2]}
    Engine().answer({"call": {**call, "settings": {}, "secrets": {}, "permissions": []}})
    _failure("SyntaxError: warm\n    at <input>:1:1\n", "warm.js")
    return Engine()


def serve(engine: Engine) -> None:
    """Say that this jail is ready, and serve calls until the executor ends it, which it mostly does after one."""
    channel.send({"ready": {}})
    while True:
        frame = channel.next_call()
        try:
            answer = engine.answer(frame)
        except MemoryError:
            answer = _NO_MEMORY
        channel.send_bytes(answer)


def _readable(seconds: float) -> bool:
    """Wait for the channel, which also speaks when the executor is gone; false when it said nothing for so long."""
    ready, _, _ = select.select([channel.DESCRIPTOR], [], [], None if seconds == math.inf else seconds)
    return bool(ready)


def _sdk() -> str:
    """The SDK's modules as one script; the engine has no loader for them."""
    return "globalThis.modules = {};" + "".join(map(_module, (*_CALLED, *_GLOBALS)))


def _module(name: str) -> str:
    text = (_FOLDER / f"{name}.mjs").read_text()
    text = re.sub(r"^import (\{.*\}) from '\./(\w+)\.mjs';$", r"const \1 = modules.\2;", text, flags=re.MULTILINE)
    text = re.sub(r"^import \* as (\w+) from '\./(\w+)\.mjs';$", r"const \1 = modules.\2;", text, flags=re.MULTILINE)
    exported = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f"modules.{name} = (function () {{ {text}\nreturn {{ {', '.join(exported)} }}; }})();\n"


def _failure(told: str, filename: str) -> bytes:
    """The frame for what the engine said of a module that it cannot read."""
    first, _, rest = told.partition("\n")
    if first in ("null", ""):
        return _NO_MEMORY
    name, _, message = first.partition(": ")
    if missing := re.fullmatch(r"could not load module '(.*)'", message):
        name = "ImportRefused"
        message = f'cannot import "{missing[1]}": a capability is one file, and QuickJS has no modules of its own'
    place = re.search(r"at (?:.*\()?<input>:(\d+):(\d+)", rest)
    line, column = map(int, place.groups()) if place else (0, 0)
    stack = [{"function": "<module>", "file": filename, "line": line, "column": column}] if place else []
    return channel.encode({"failure": {"name": name, "message": message[:4000], "stack": stack}})
