"""Is all well: `doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.panels import WATCH
from hardpoint_cli.screen import table, working
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint_cli.diagnosis import Check


EXAMPLES = ["hardpoint doctor", "hardpoint doctor --json | jq .ok", "hardpoint doctor --jail"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", panel=WATCH, examples=EXAMPLES)(doctor)


async def doctor(
    jail: Annotated[
        bool, typer.Option("--jail", help="Try the walls of jails on this machine; asks no server.")
    ] = False,
) -> Answer:
    """Say whether all is well: server, token, every unit down to its database or jail; and what to do if not.

    With --jail: whether this machine or pod can run strangers' code, by the same test that every executor runs at its
    start, and each forbidden system call beside it.
    """
    from hardpoint_cli.diagnosis import diagnose
    from hardpoint_cli.local import examine

    with working("trying the walls" if jail else "examining"):
        checks = await (examine() if jail else diagnose())
    ok = all(check.ok for check in checks)
    return Answer({"ok": ok, "checks": [asdict(check) for check in checks]}, _shown(checks, ok), ok)


def _shown(checks: "list[Check]", ok: bool) -> RenderableType:
    rows = [(Text("✓", "green") if one.ok else Text("✗", "red"), one.name, one.found) for one in checks]
    todo, better = (
        [Text.assemble((f"  {one.name}: ", "bold"), one.fix) for one in checks if one.ok is well and one.fix]
        for well in (False, True)
    )
    verdict = Text("All is well.", "green") if ok else Text("What to do:" if todo else "Not all is well.", "bold red")
    rest = [Text(), Text("What could be better:"), *better] if better else []
    return Group(table(["", "what", "found"], rows, ""), Text(), verdict, *todo, *rest)
