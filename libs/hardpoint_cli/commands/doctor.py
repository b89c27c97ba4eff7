"""Is all well: `doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.panels import WATCH
from hardpoint_cli.screen import table, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_cli.diagnosis import Check


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", panel=WATCH, examples=["hardpoint doctor", "hardpoint doctor --json | jq .ok"])(doctor)


async def doctor() -> Answer:
    """Say whether all is well: server, token, every unit down to its database or jail; and what to do if not."""
    from hardpoint_cli.diagnosis import diagnose

    with working("examining"):
        checks = await diagnose()
    ok = all(check.ok for check in checks)
    return Answer({"ok": ok, "checks": [asdict(check) for check in checks]}, _shown(checks, ok), ok)


def _shown(checks: "list[Check]", ok: bool) -> RenderableType:
    rows = [(Text("✓", "green") if one.ok else Text("✗", "red"), one.name, one.found) for one in checks]
    todo = [Text.assemble((f"  {one.name}: ", "bold"), one.fix) for one in checks if not one.ok and one.fix]
    verdict = Text("All is well.", "green") if ok else Text("What to do:" if todo else "Not all is well.", "bold red")
    return Group(table(["", "what", "found"], rows, ""), Text(), verdict, *todo)
