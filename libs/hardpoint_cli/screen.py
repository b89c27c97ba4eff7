"""What reaches the terminal: answers on stdout, chatter and errors on stderr.

Texts come from other people's manifests and from servers. They are never read as markup, and control characters,
with which a text could repaint the terminal, are left out.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hardpoint.runtime.v1 import run_pb2
    from hardpoint_kit.errors import HardpointError

NO_ERROR: Mapping[str, Any] = {
    "reason": "",
    "message": "",
    "place": "",
    "fix": "",
    "metadata": {},
    "violations": {},
    "retry_after": None,
}
"""The `error` of a JSON document, with nothing filled in."""

_PIPED_WIDTH = 1000
_LEVELS = {"warning": "yellow", "error": "red"}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_C1 = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _Printable:
    """Another renderable without its control characters."""

    def __init__(self, shown: RenderableType) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._shown, options):
            yield segment if segment.control else Segment(_CONTROL.sub("", segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; what is piped is not wrapped, so that a line stays a line."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def show(shown: RenderableType, *, stderr: bool = False) -> None:
    """Print for people; an empty text prints nothing."""
    if shown != "":
        console(stderr=stderr).print(_Printable(shown), soft_wrap=isinstance(shown, str | Text))


def note(text: str) -> None:
    """Say something beside the answer."""
    show(Text(text, "dim"), stderr=True)


def warn(text: str) -> None:
    """Say something beside the answer that ought to be read."""
    show(Text.assemble(("! ", "yellow"), text), stderr=True)


def print_json(document: Any) -> None:
    """Print the one JSON document of `--json`."""
    text = json.dumps(document, indent=2, ensure_ascii=not _is_unicode(sys.stdout.encoding))
    sys.stdout.write(_C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def take_anything() -> None:
    """Have letters that a terminal's encoding lacks replaced, and what is written where all is closed dropped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
        else:
            stream.reconfigure(errors="replace")


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().replace("-", "").startswith("utf")


def drop_output() -> None:
    """Forget what is still to be printed, since nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_error(error: "HardpointError", as_json: bool) -> None:
    """Print an error: for people what, where and what to do about it."""
    if as_json:
        print_json({"error": {key: getattr(error, key) for key in NO_ERROR}})
        return
    lines = [Text.assemble(("error: ", "bold red"), _summary(error), (f"  [{error.reason}]", "dim"))]
    if len(error.violations) > 1:
        lines += [Text(f"  {path}: {problem}") for path, problem in error.violations.items()]
    place = "" if error.message.startswith(f"{error.place}: ") else error.place
    facts = {"at": place, "fix": error.fix, "run": error.metadata.get("run", "").rpartition("/")[2]}
    for name in ("link", "trace"):
        facts[name] = error.metadata.get(name, "")
    if error.retry_after:
        facts["again"] = f"in {math.ceil(error.retry_after * 10) / 10:g} s"
    lines += [Text.assemble((f"  {label + ':':<7}", "bold"), text) for label, text in facts.items() if text]
    show(Group(*lines), stderr=True)


def _summary(error: "HardpointError") -> str:
    return f"{len(error.violations)} problems" if len(error.violations) > 1 else error.message


def working(what: str) -> AbstractContextManager[Any]:
    """Show that something is going on, on a terminal; elsewhere nothing."""
    err = console(stderr=True)
    return err.status(what) if err.is_terminal else nullcontext()


def table(head: Sequence[str], rows: Iterable[Sequence[RenderableType]], empty: str) -> RenderableType:
    """Rows under a head, or one line that says why there are none."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold dim")
    for title in head:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made if made.row_count else Text(empty, "dim")


def fields(pairs: Mapping[str, RenderableType]) -> RenderableType:
    """Labels and values, without those that are empty."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold dim")
    made.add_column(overflow="fold")
    for label, value in pairs.items():
        if value != "":
            made.add_row(label, value)
    return made


def log_line(line: "run_pb2.LogLine") -> Text:
    """A line that the code of a run logged."""
    step = f"{line.step}  " if line.step else ""
    return Text.assemble("    ", (step, "cyan"), (f"{line.level:<7}  ", _LEVELS.get(line.level, "dim")), line.message)


def done(text: str) -> Text:
    """A line that says that it worked."""
    return Text.assemble(("✓ ", "green"), text)


def next_steps(*commands: str) -> Group:
    """What to type next."""
    return Group(*(Text.assemble(("  $ ", "dim"), (command, "cyan")) for command in commands))
