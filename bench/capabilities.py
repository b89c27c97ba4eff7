"""What the measured agents call: one http action, and the same small function in every engine and tier."""

import json
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
HTTP_FILE = "weather-capability.yaml"
WEATHER = {"location": "New York"}
N = {"n": 21}

SPINNER = b"""
from hardpoint_sdk import action, capability
capability(id="spinner", name="Spinner", version="1.0.0", permissions=["compute.heavy"])
@action
async def spin(self, input):
    self.log("here")
    while True:
        pass
"""

_PYTHON = """
from hardpoint_sdk import action, capability
capability(**{header!r})
@action(id="double", inputs=[{{"name": "n", "type": "integer", "required": True}}], effect="read")
async def double(self, input):
    return {{"twice": input["n"] * 2}}
"""
_JAVASCRIPT = """
export default {{
  ...{header},
  actions: {{
    double: {{
      inputs: {{ n: {{ type: 'integer', required: true }} }},
      effect: 'read',
      async run(input) {{ return {{ twice: input.n * 2 }}; }},
    }},
  }},
}};
"""


def _header(name: str) -> dict[str, str]:
    return {"id": name, "name": "Double", "version": "1.0.0", "description": "Doubles a number"}


def python(name: str, **more: Any) -> bytes:
    """A Python file of the capability `name`, with `more` in its header."""
    return _PYTHON.format(header=_header(name) | more).encode()


def javascript(name: str, **more: Any) -> bytes:
    """See `python`."""
    return _JAVASCRIPT.format(header=json.dumps(_header(name) | more)).encode()


DOUBLES = {
    "python": ("double.py", python("double-python")),
    "quickjs": ("double.js", javascript("double-quickjs", engine="quickjs")),
    "node": ("double.js", javascript("double-node")),
    "single_python": ("double.py", python("double-single-python", isolation="strict")),
}
"""The file of each, by engine and tier: Python and QuickJS in slots, the others in an nsjail for each call."""


def workflow(name: str, *steps: dict[str, Any]) -> bytes:
    """A file of the workflow `name`, whose steps are done one after the other."""
    header = {**_header(name), "type": "workflow"}
    return json.dumps({"capability": {**header, "workflow": {"steps": steps}}}).encode()


_NODES = [f"double-{number}" for number in range(1, 6)]
FLOW = json.dumps(
    {
        "capability": {
            **_header("five-doubles"),
            "flow": {
                "nodes": [
                    {"id": "input", "type": "input", "inputs": {"n": {"type": "integer", "required": True}}},
                    *(
                        {
                            "id": node,
                            "type": "call",
                            "action": "double-python.double",
                            "input": {"n": f'${{steps["{before}"].twice}}' if before else "${input.n}"},
                        }
                        for before, node in zip(["", *_NODES], _NODES, strict=False)
                    ),
                    {"id": "output", "type": "output"},
                ],
                "edges": [{"from": a, "to": b} for a, b in zip(["input", *_NODES], [*_NODES, "output"], strict=True)],
            },
        }
    }
).encode()
"""Five nodes, one after the other; each calls what the Python probe calls."""

INPUTS: dict[str, dict[str, Any]] = {"http": WEATHER} | dict.fromkeys(DOUBLES, N)
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "http": ("weather-lookup.get-weather", WEATHER),
    "python": ("double-python.double", N),
    "flow": ("five-doubles.run", N),
}
"""As an agent makes them."""
