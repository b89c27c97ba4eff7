"""`hardpoint`: the program."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.main import get_command

from hardpoint_cli.commands import (
    agents,
    authoring,
    calls,
    connecting,
    doctor,
    engines,
    explaining,
    files,
    installations,
    market,
    policy,
    releases,
    runs,
    settings,
    testing,
    triggers,
    workflows,
)
from hardpoint_cli.screen import take_anything
from hardpoint_cli.shell import Program, paragraphs

app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=paragraphs(
        """Give agents capabilities: write them, publish them, install them, decide what they may do.

        The server and your token come from HARDPOINT_ADDRESS and HARDPOINT_TOKEN, or from the server on this machine.
        Every command takes --json. Names are short: weather-lookup is your own org's, acme/weather-lookup another's.
        """
    ),
    epilog="New here? [cyan]hardpoint doctor[/] says whether all is well, [cyan]hardpoint new http weather[/] starts.",
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"hardpoint {version('hardpoint')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


_INSTALLED = (market, installations, settings, connecting)
_DOING = (agents, policy, triggers, calls, files, runs, workflows)
for _noun in (authoring, testing, engines, releases, *_INSTALLED, *_DOING, explaining, doctor):
    _noun.add(app)


def loaded() -> Callable[[], Any]:
    """The program with all of its commands, ready to run."""
    take_anything()
    return get_command(app)


if __name__ == "__main__":
    loaded()()
