"""Small plugins for tests."""

from typing import Any

from hardpoint_executor.jail import JailCall, Limits

PYTHON_HEADER = 'from hardpoint_sdk import action, capability\ncapability(id="tested")\n'


def python(body: str, input: Any = None, **rest: Any) -> JailCall:
    """A call of an action `act` whose body is the given lines."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    source = f"{PYTHON_HEADER}@action\nasync def act(self, input):\n{lines}\n"
    return JailCall("python", source, "plugin.py", "act", input, **_limited(rest))


def javascript(body: str, input: Any = None, **rest: Any) -> JailCall:
    """A call of an action `act` whose body is the given text."""
    source = f"export default {{ id: 'tested', actions: {{ async act(input) {{\n{body}\n}} }} }};\n"
    return JailCall("javascript", source, "plugin.js", "act", input, **_limited(rest))


def quickjs(body: str, input: Any = None, **rest: Any) -> JailCall:
    """The same as `javascript`, for QuickJS."""
    return javascript(body, input, engine="quickjs", **rest)


def _limited(rest: dict[str, Any]) -> dict[str, Any]:
    names = {"wall_seconds", "memory_bytes", "output_bytes", "log_bytes", "broker_calls", "broker_bytes"}
    limits = {name: rest.pop(name) for name in names & rest.keys()}
    return {"org": "acme", "capability": "tested", **rest, "limits": Limits(**limits)}
