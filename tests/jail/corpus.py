"""Writes the table of `docs/jail.md`: every hostile program, run alone, one after the other (`make corpus`)."""

import asyncio
import platform
import re
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("libs", "services", "tests")]

from jail.siege import PROGRAMS, TIERS, Assault, Program, Siege, besieged  # noqa: E402 - the path comes first

DOCUMENT = ROOT / "docs" / "jail.md"
_BEGIN, _END = "<!-- corpus: written by `make corpus` -->", "<!-- end of corpus -->"
_HEAD = "| program | tries | reported as | ms | MiB | tier |\n|---|---|---|---:|---:|---|\n"
_ROW = re.compile(
    r"\| `(?P<name>[^`]+)` \| (?P<tries>.*) \| (?P<outcome>[^|]+) \| [^|]* \| [^|]* \| (?P<tier>[a-z-]+) \|"
)


def row_of(program: Program, tier: str) -> tuple[str, str, str, str]:
    """What the table says of a program, apart from the figures: name, what it tries, outcomes, tier."""
    outcome, names = " or ".join(sorted(program.expected(tier))), program.named(tier)
    return program.name, program.tries.replace("|", "\\|"), f"{outcome} (`{names}`)" if names else outcome, tier


def rows() -> list[tuple[str, str, str, str]]:
    """What stands in the document, without the figures."""
    _, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    table, _, _ = rest.partition(_END)
    return [(m["name"], m["tries"], m["outcome"], m["tier"]) for m in map(_ROW.fullmatch, table.splitlines()) if m]


def _line(program: Program, siege: Siege) -> str:
    name, tries, outcome, tier = row_of(program, siege.tier)
    assault: Assault = siege.assaults[program.name]
    if assault.word not in program.expected(tier) and str(assault.outcome.kind) not in program.expected(tier):
        raise SystemExit(f"{name} was reported as {assault.word}: {assault.outcome.message}")
    peak = assault.outcome.peak_memory_bytes
    memory = f"{peak / 1024 / 1024:.0f}" if peak else ""
    return f"| `{name}` | {tries} | {outcome} | {assault.outcome.wall_ms:.0f} | {memory} | {tier} |\n"


async def _written() -> str:
    lines = []
    for tier in TIERS:
        with tempfile.TemporaryDirectory() as folder:
            async with besieged(tier, Path(folder), deadline_seconds=1.0) as siege:
                await siege.set_upon(PROGRAMS, at_once=1)
            if siege.reached or siege.left:
                raise SystemExit(f"{siege.reached} connections; left behind: {siege.left}")
            lines += [_line(program, siege) for program in PROGRAMS]
    run = (
        f"{len(PROGRAMS)} programs, each alone with its neighbour, on {date.today():%-d %B %Y}, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}. Where the time is one "
        "second, that was the deadline; no figure of memory is known where the jail died by itself.\n\n"
    )
    return f"{_BEGIN}\n\n{run}{_HEAD}{''.join(lines)}\n{_END}"


def main() -> None:
    """Run everything and put the table where the old one stands."""
    before, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(before + asyncio.run(_written()) + after)


if __name__ == "__main__":
    main()
