"""`hardpointd`: serve the units of Hardpoint, or mint a token for this machine's own."""

import gc
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from hardpoint_kit.auth import PERMISSIONS_BY_ROLE
from hardpoint_kit.errors import HardpointError, InvalidArgument
from hardpoint_kit.names import ID_HELP, is_id
from hardpointd.catalog import UNITS, chosen
from hardpointd.defaults import DEV_ORG, DEV_SUBJECT, DEV_TOKEN_SECONDS, Laptop
from hardpointd.environment import check_environment
from hardpointd.options import DaemonOptions

if TYPE_CHECKING:
    from hardpointd.daemon import Daemon

app = typer.Typer(help="Serve the units of Hardpoint.", no_args_is_help=True, add_completion=False)
console = Console()


@app.command("serve")
def serve_command(
    units: Annotated[list[str] | None, typer.Argument(help=f"Which units: {', '.join(UNITS)}. All when none.")] = None,
) -> None:
    """Serve units on one port until interrupted; options are HARDPOINT_* environment variables."""
    gc.disable()  # until all is imported, among which there is no garbage: looking for it takes a sixth of that time
    from hardpointd.daemon import serve

    with _explained():
        served = chosen(units or [])
        check_environment(served, os.environ)
        options = DaemonOptions()
        if console.is_terminal and "HARDPOINT_LOG_FORMAT" not in os.environ:
            options = options.model_copy(update={"log_format": "console", "log_level": "warning"})
        serve(served, options, _say_served)


@app.command()
def token(
    org: Annotated[str, typer.Option(help="The org it is for.")] = DEV_ORG,
    subject: Annotated[str, typer.Option(help="Whom it stands for.")] = DEV_SUBJECT,
    role: Annotated[list[str] | None, typer.Option(help="Roles; admin when none.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=876_600, help="How long it is good.")] = 24.0,
) -> None:
    """Print a token signed with this machine's own key; a server with its own JWKS does not take it."""
    with _explained():
        check_environment((), os.environ)
        roles = role or ["admin"]
        _check_token(org, subject, roles)
        typer.echo(Laptop(DaemonOptions()).dev_keys().mint(subject, org, roles, hours * 3600))


@app.command()
def jwks() -> None:
    """Print the public keys of this machine's own tokens, as a JWKS for the HARDPOINT_JWKS of other processes."""
    with _explained():
        check_environment((), os.environ)
        typer.echo(json.dumps(Laptop(DaemonOptions()).dev_keys().jwks()))


def _check_token(org: str, subject: str, roles: Sequence[str]) -> None:
    """Refuse what no server believes: it would be told of the token's every use, and not here where it is made."""
    if not is_id(org):
        raise InvalidArgument(f"{org!a} is no id of an org", fix=f"it {ID_HELP}")
    if not subject:
        raise InvalidArgument("the subject is empty", fix="say whom it stands for")
    for role in roles:
        if role not in PERMISSIONS_BY_ROLE:
            close = get_close_matches(role, PERMISSIONS_BY_ROLE, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise InvalidArgument(
                f"no role is called {role}{meant}", fix=f"choose from {', '.join(PERMISSIONS_BY_ROLE)}"
            )


@contextmanager
def _explained() -> Iterator[None]:
    """End the program with the words of an error, and no stack."""
    try:
        yield
    except HardpointError as error:
        console.print(f"[red]error[/]: {escape(error.message)}")
        if error.place and not error.message.startswith(f"{error.place}: "):
            console.print(f"  at:  {escape(error.place)}")
        if error.fix:
            console.print(f"  fix: {escape(error.fix)}")
        raise typer.Exit(1) from None


def _say_served(daemon: "Daemon") -> None:
    """Write where and how to reach the daemon for the CLI on this machine, and show it."""
    options = daemon.options
    if options.jwks:
        console.print(f"serving {', '.join(daemon.units)} on {daemon.address}")
        return
    minted = daemon.laptop.dev_keys().mint(DEV_SUBJECT, DEV_ORG, ["admin"], DEV_TOKEN_SECONDS)
    login = options.state / "login.json"
    fresh = login.with_suffix(f".{os.getpid()}")  # processes that share a folder start at the same time
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"address": daemon.address, "token": minted}, file)
    fresh.replace(login)
    console.print(
        Panel.fit(
            f"[bold]{', '.join(daemon.units)}[/] on [cyan]{daemon.address}[/]\n"
            f"org [cyan]{DEV_ORG}[/], role admin; the CLI on this machine is logged in\n\n"
            "Next, in another terminal:\n"
            "  [green].venv/bin/hardpoint doctor[/]\n"
            "  [green].venv/bin/hardpoint push examples/weather-capability.yaml --publish[/]\n"
            "  [green].venv/bin/hardpoint --help[/]\n\n"
            f"Stop with Ctrl-C. State stays in {escape(str(options.state))}.",
            title="Hardpoint is up",
        )
    )
    console.print(f"[dim]token for other clients, good for 30 days:[/]\n{minted}", soft_wrap=True)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
