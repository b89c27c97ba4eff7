"""Small plugins for tests."""

from typing import Any

from hardpoint_executor import domain
from hardpoint_executor.jail import JailCall, Limits
from hardpoint_manifest.authority import Authority

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


def execution(call: JailCall, **rest: Any) -> domain.Execution:
    """A call as the executor is asked for it, by an installation that was granted nothing."""
    usual: dict[str, Any] = {
        "org": "acme",
        "id": "e1",
        "release": "orgs/acme/capabilities/tested/releases/1.0.0",
        "artifact": domain.Artifact("sha256:0", call.filename, ""),
        "action": call.action,
        "output_schema": {},
        "input": {},
        "authority": Authority.of(()),
        "lease_token": "",
        "requirements": (),
        "limits": domain.Limits(),
        "engine": call.engine,
    }
    return domain.Execution(**usual | rest)


def _limited(rest: dict[str, Any]) -> dict[str, Any]:
    names = {"wall_seconds", "memory_bytes", "output_bytes", "log_bytes", "broker_calls", "broker_bytes"}
    limits = {name: rest.pop(name) for name in names & rest.keys()}
    return {"org": "acme", "capability": "tested", **rest, "limits": Limits(**limits)}
