"""What is kept of a run: a table for people and a file for comparison."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

WIDTH = 120
"""Columns of the terminal, or of the file, that the table needs at least: a narrower one would lose its values."""
LATEST = Path(__file__).parent / "out" / "latest.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `ratio` is the value over that of the figure named by `ratio_to`."""

    value: float
    unit: str
    ratio_to: str | None = None
    ratio: float | None = None


@dataclass
class Report:
    """Figures by name, in the order in which they were taken, under headings."""

    machine: str = field(default_factory=lambda: _machine())
    figures: dict[str, Figure] = field(default_factory=dict)
    goals: list[str] = field(default_factory=list)
    _headings: dict[str, str] = field(default_factory=dict)
    _heading: str = ""

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._heading = text

    def add(self, name: str, value: float, unit: str, ratio_to: str | None = None) -> None:
        """Add a figure, with its ratio to one that was added before."""
        base = self.figures[ratio_to].value if ratio_to else None
        self.figures[name] = Figure(
            _rounded(value), unit, ratio_to, _rounded(value / base) if base is not None else None
        )
        self._headings[name] = self._heading

    def goal(self, text: str, met: bool) -> None:
        """Say whether a goal is met."""
        self.goals.append(f"{'[green]met[/]' if met else '[red]not met[/]'}: {text}")

    def show(self, console: Console, seconds: float, *, kept: bool) -> None:
        """Print everything, and where it is `kept`."""
        console.width = max(console.width, WIDTH)
        console.print(f"\n[bold]Hardpoint[/] on {self.machine}")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("figure", no_wrap=True)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("")
        table.add_column("ratio", style="dim", no_wrap=True)
        heading = ""
        for name, figure in self.figures.items():
            if self._headings[name] != heading:
                heading = self._headings[name]
                table.add_row()
                table.add_row(f"[bold]{heading}[/]")
            ratio = "" if figure.ratio is None else f"{figure.ratio:g} x {figure.ratio_to}"
            table.add_row(f"  {name}", f"{figure.value:,g}", figure.unit, ratio)
        console.print(table, "")
        for goal in self.goals:
            console.print(goal)
        console.print(f"[dim]{seconds:.0f} s; {LATEST if kept else 'not kept'}[/]")

    def save(self) -> None:
        """Write the file, whole or not at all."""
        LATEST.parent.mkdir(exist_ok=True)
        fresh = LATEST.with_suffix(".new")
        fresh.write_text(json.dumps({name: asdict(figure) for name, figure in self.figures.items()}, indent=2) + "\n")
        fresh.replace(LATEST)


def _machine() -> str:
    """What the figures were taken on, and how busy it was."""
    facts: Sequence[str] = (
        f"{len(os.sched_getaffinity(0))} cores",
        f"Python {platform.python_version()}",
        f"grpcio {grpc.__version__}",
        f"{platform.system()} {platform.release()}",
        f"load {os.getloadavg()[0]:.1f}",
    )
    return ", ".join(facts)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) < 1000 else round(value)
