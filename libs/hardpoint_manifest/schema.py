"""The JSON Schema of what authors write, for editors; generated from `source` and kept in `schema.json`.

`python -m hardpoint_manifest.schema` writes the file anew.
"""

import json
from pathlib import Path
from typing import Any, Final

from hardpoint_manifest.model import JSON_SCHEMA_DIALECT
from hardpoint_manifest.source import CapabilityFile

FILE: Final = Path(__file__).with_name("schema.json")


def generate() -> dict[str, Any]:
    """The schema of a YAML or JSON file."""
    schema = CapabilityFile.model_json_schema(by_alias=True)
    return {"$schema": JSON_SCHEMA_DIALECT, **schema, "title": "Hardpoint capability"}


def render() -> str:
    """The schema as the text of its file."""
    return json.dumps(generate(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
