"""What the demonstration prints, and how: headings, marks, errors and the tree of a trace."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from demo.otlp import Span, in_order
from hardpoint_kit.errors import HardpointError

console = Console(highlight=False, soft_wrap=True)


def heading(title: str, text: str) -> None:
    """Begin a part."""
    console.print(f"\n[bold]{title}[/]  [dim]{text}[/]")


def say_done(text: str, seconds: float | None = None) -> None:
    """Show that something was done, and how long it took."""
    console.print(f"  [green]✓[/] {text}{'' if seconds is None else f' [dim]({seconds:.2f} s)[/]'}")


def show_error(error: HardpointError, indent: str = "  ") -> None:
    """Show an error as people should see it."""
    console.print(f"{indent}[red]✗ {error.reason}[/] {error.message}")
    if error.place:
        console.print(f"{indent}  [dim]at[/]  {error.place}")
    if error.fix:
        console.print(f"{indent}  [dim]fix[/] {error.fix}")


def show_trace(spans: Sequence[Span]) -> None:
    """Show the tree of one trace with times."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for title, justify in (("span", "left"), ("process", "left"), ("ms", "right")):
        table.add_column(title, justify=justify, style="dim" if title == "process" else "")  # type: ignore[arg-type]
    for depth, span in in_order(list(spans)):
        mark = "[red]✗[/] " if span.failed else ""
        table.add_row(f"{'  ' * depth}{mark}{span.name}", span.service, f"{span.milliseconds:.1f}")
    console.print(table)
