"""Owns the inside of a Python jail: wait for one call, run the plugin, answer once.

Nothing here is a wall: plugin code can reach all of it. The jail is the wall, and the executor decides what came of it.
"""

import contextlib
import json
import os
import pwd
import sys
from collections.abc import Callable, Coroutine, Iterable
from types import CodeType, ModuleType, SimpleNamespace, TracebackType
from typing import Any

from . import attempts, channel, host, plugin, processes, utils
from .response import BrokerError

_RESULT_BYTES = 1024 * 1024
_STACK_FRAMES = 50
_SDK = os.path.dirname(__file__)
_LAYERS = "/layers"

# Made before plugin code runs, which may leave no memory to make them in.
_NO_MEMORY = channel.encode({"failure": {"name": "MemoryError", "message": "out of memory", "stack": []}})
_UNSPEAKABLE = channel.encode({"failure": {"name": "Error", "message": "an error that cannot be shown", "stack": []}})

_WARM = """
from hardpoint_sdk import action, capability
capability(id="warm", name="Warm", version="1.0.0")
@action
async def warm(self, input):
    return {"mean": self.utils.mean(self.utils.parse_csv(input["csv"]))}
"""


class _Failure(Exception):
    """An error of ours that the author should see under a name of its own."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def main() -> None:
    """Warm up, then serve a call."""
    warm()
    serve()


def serve() -> None:
    """Say that this jail is ready, and serve calls until the executor ends it, which it mostly does after one."""
    attempts.watch()
    channel.send({"ready": {}})
    while True:
        frame = channel.next_call()
        try:
            answer = _answer(frame)
        except BaseException as error:
            if isinstance(error, MemoryError):
                _let_go(error)
            answer = _failure(error)
        _flush()
        channel.send_bytes(answer)


def warm() -> None:
    """Run the path of a call once, so that the real one finds everything imported, compiled and allocated."""
    processes.name_refusals()
    pwd.getpwnam("plugin")  # libc looks for a cache of names once, at a socket, and keeps in mind that there is none
    call = {"source": _WARM, "filename": "warm.py", "action": "warm", "input": {"csv": "1,2"}}
    _answer({"call": {**call, "settings": {}, "secrets": {}, "permissions": [], "libraries": []}})
    try:
        raise ValueError
    except ValueError as error:
        _failure(error)
    plugin.declared = plugin.Header()


def _answer(frame: dict[str, Any]) -> bytes:
    if "describe" in frame:
        needs = _needs()
        _put_on_path(needs, needs)
        _load(frame["describe"])
        _check_asked(needs)
        return _fitting({"header": {"value": plugin.declared.described()}})
    call = frame["call"]
    if plugin.declared.words is None:  # else a call of the same run has loaded it
        if call["libraries"]:
            _put_on_path(call["libraries"], _needs())
        _load(call)
    actions = plugin.declared.actions()
    if call["action"] not in actions:
        known = ", ".join(sorted(actions)) or "none"
        raise _Failure("ActionNotFound", f'no action "{call["action"]}"; this capability has: {known}')
    value = actions[call["action"]](_self(call), call["input"])
    if hasattr(value, "__await__"):
        value = _complete(value, call["source"])
    return _fitting({"result": {"value": value}}, call.get("result_bytes", _RESULT_BYTES))


def _load(call: dict[str, Any]) -> None:
    module = ModuleType("plugin")
    module.__file__ = call["filename"]
    sys.modules["plugin"] = module
    code: CodeType = compile(call["source"], call["filename"], "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102 - this is what the jail is for
    if plugin.declared.words is None:
        raise _Failure("NoHeader", "the module declares no capability: decorate a class with @capability(...)")


def _needs() -> dict[str, list[str]]:
    """The layers that each library needs besides its own."""
    with open(f"{_LAYERS}/needs.json") as file:
        needs: dict[str, list[str]] = json.load(file)
    return needs


def _put_on_path(libraries: Iterable[str], needs: dict[str, list[str]]) -> None:
    """Make libraries importable, after the standard library, which none of them may stand in for."""
    sys.path += [f"{_LAYERS}/{name}" for name in _with_needs(libraries, needs)]
    # A jail is one call: a thread for each processor would only cost address space.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _with_needs(libraries: Iterable[str], needs: dict[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(each for name in libraries for each in (name, *needs.get(name, ()))))


def _check_asked(needs: dict[str, list[str]]) -> None:
    """Refuse a module that imports what it does not ask for: everything can be imported while it is described."""
    files = [str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
    used = {file.split("/")[2] for file in files if file.startswith(f"{_LAYERS}/")}
    asked = (plugin.declared.words or {}).get("libraries") or []
    missing = [name for name in needs if name in used - set(_with_needs(asked, needs))]
    brought = {each for name in missing for each in needs[name]}
    if first := [name for name in missing if name not in brought]:
        raise _Failure("LibraryNotAsked", f"the module imports {', '.join(first)}, which its header does not ask for")


def _self(call: dict[str, Any]) -> Any:
    """An instance of the plugin's class, or a bare object, with what `Plugin` promises."""
    owner = plugin.declared.owner
    this: Any = owner() if owner is not None else SimpleNamespace()
    offered = {
        "utils": utils,
        "config": {**call["settings"], **call["secrets"]},
        "permissions": tuple(call["permissions"]),
        **host.offered(channel.Broker().ask, channel.send),
    }
    for name, value in offered.items():
        setattr(this, name, value)
    return this


def _complete(awaited: Coroutine[Any, Any, Any], source: str) -> Any:
    """Run a coroutine to its end: alone when it only awaits the broker, in asyncio when the plugin speaks of it.

    Importing asyncio takes longer than everything else here together.
    """
    if "asyncio" in source:
        import asyncio

        return asyncio.run(awaited)
    try:
        awaited.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("the action awaits something other than self.fetch: import asyncio in the plugin")


def _fitting(frame: dict[str, Any], most: int = _RESULT_BYTES) -> bytes:
    answer = channel.encode(frame)
    if len(answer) > most:
        raise _Failure("ResultTooLarge", f"the result has {len(answer)} bytes; at most {most} are accepted")
    return answer


def _failure(error: BaseException) -> bytes:
    try:
        name = error.name if isinstance(error, _Failure) else type(error).__name__
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        if isinstance(error, MemoryError):
            message = message or "out of memory"
        refused = {"ask": error.ask} if isinstance(error, BrokerError) else {}
        return channel.encode({"failure": {"name": name, "message": message[:4000], "stack": _stack(error), **refused}})
    except MemoryError:
        return _NO_MEMORY
    except BaseException:
        return _UNSPEAKABLE


def _let_go(error: MemoryError) -> None:
    """Free what the frames of an error hold, so that there is memory to say where it was."""
    traced = error.__traceback__
    while traced is not None:
        with contextlib.suppress(RuntimeError):  # of a frame that runs: it is one of ours
            traced.tb_frame.clear()
        traced = traced.tb_next


def _stack(error: BaseException) -> list[dict[str, Any]]:
    """Frames of the plugin and the libraries it called, innermost first."""
    if isinstance(error, SyntaxError) and error.filename:
        return [_place("<module>", error.filename, error.lineno, error.offset)]
    frames = []
    traced: TracebackType | None = error.__traceback__
    while traced is not None:
        code = traced.tb_frame.f_code
        if not code.co_filename.startswith(_SDK):
            frames.append(_place(code.co_name, code.co_filename, traced.tb_lineno, _column(code, traced.tb_lasti)))
        traced = traced.tb_next
    return frames[::-1][:_STACK_FRAMES]


def _column(code: CodeType, instruction: int) -> int:
    for position, (_, _, column, _) in enumerate(code.co_positions()):
        if position == instruction // 2:
            return (column or 0) + 1
    return 0


def _place(function: str, file: str, line: int | None, column: int | None) -> dict[str, Any]:
    return {"function": function, "file": file, "line": line or 0, "column": column or 0}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        flush: Callable[[], None] | None = getattr(stream, "flush", None)
        try:
            if flush is not None:
                flush()
        except BaseException:  # noqa: S110 - plugin code may have put anything there
            pass
