"""Signing in at a provider for an installation: `connect`, `connection`, `connections`, `disconnect`."""

import asyncio
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from hardpoint_cli.arguments import Installation
from hardpoint_cli.panels import SET
from hardpoint_cli.prompts import asked, hidden_line, on_terminal
from hardpoint_cli.screen import done, note, show, table
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hardpoint.config.v1 import config_pb2
    from hardpoint_client import Hardpoint

    Complete = Callable[[str, dict[str, str]], Awaitable[config_pb2.Connection]]

REDIRECT = "http://127.0.0.1:8976/callback"
SIGN_IN_SECONDS = 600.0


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "connect",
        panel=SET,
        examples=[
            "hardpoint connect slack-integration",
            "hardpoint connect slack-integration --client-id 123.456 --paste",
            "hardpoint connect slack-integration --each-user",
            "hardpoint connect slack-integration --me",
        ],
    )(connect_installation)
    command(app, "connection", panel=SET, examples=["hardpoint connection slack-integration"])(connection)
    command(
        app, "connections", panel=SET, examples=["hardpoint connections", "hardpoint connections slack-integration"]
    )(connections)
    command(
        app,
        "disconnect",
        panel=SET,
        examples=["hardpoint disconnect slack-integration", "hardpoint disconnect slack-integration --me"],
    )(disconnect)


async def connect_installation(
    installation: Installation,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="Your OAuth app's client id; asked for once, then kept.")
    ] = "",
    redirect: Annotated[
        str, typer.Option(metavar="URL", help="The redirect URL, exactly as your OAuth app has it.")
    ] = REDIRECT,
    paste: Annotated[
        bool, typer.Option("--paste", help="Listen nowhere: paste the address that the browser ends at.")
    ] = False,
    each_user: Annotated[
        bool, typer.Option("--each-user", help="Have each person sign in for themselves, by your OAuth app.")
    ] = False,
    me: Annotated[bool, typer.Option("--me", help="Sign in for yourself alone, where each person does.")] = False,
    answer: Annotated[
        str, typer.Option(metavar="URL", help="The address that a refused call's link ended at; with --me, yours.")
    ] = "",
) -> Answer:
    """Sign in at the provider of an API, so that agents can call it in your name; its tokens are renewed by themselves.

    You need an OAuth app of your own at the provider, with the redirect URL in its list. Its client secret is asked for
    without an echo, or read from what is piped in, once. A browser opens; without one, open the link anywhere and
    --paste the address that it ends at.
    """
    from hardpoint.config.v1 import config_pb2
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    if each_user and (me or answer):
        raise typer.BadParameter("--each-user goes with neither --me nor --answer")
    async with connect() as client:
        if me:
            name = client.named("connections", installation)
            made = await _signed_in_alone(client, name, redirect, paste, answer)
            return Answer({"connection": document(made)}, done(f"you are connected to {_host(made)}"))
        if answer:
            made = await _answered(_of_org(client, client.named("connections", installation)), answer)
            return Answer({"connection": document(made)}, _connected(installation, made))
        name = client.named("installations", installation)
        offered = await client.installations.OfferConnection(installation_pb2.OfferConnectionRequest(name=name))
        known = await client.config.GetConnection(config_pb2.GetConnectionRequest(name=offered.connection))
        secret = b""
        if client_id or not known.client_id:
            client_id, secret = _client(known, client_id, redirect)
        if each_user:
            users = config_pb2.ConnectUsersRequest(
                name=known.name, client_id=client_id, client_secret=secret, redirect_uri=redirect
            )
            made = await client.config.ConnectUsers(users)
            said = f"each person signs in to {_host(made)} now: hardpoint connect {installation} --me"
            return Answer({"connection": document(made)}, done(said))
        if known.provider.grant == "client_credentials":
            request = config_pb2.ConnectClientRequest(name=known.name, client_id=client_id, client_secret=secret)
            made = await client.config.ConnectClient(request)
        else:
            begin = config_pb2.BeginConnectionRequest(
                name=known.name, client_id=client_id, client_secret=secret, redirect_uri=redirect
            )
            begun = await client.config.BeginConnection(begin)
            made = await _signed_in(begun, redirect, paste, _of_org(client, known.name))
        return Answer({"connection": document(made)}, _connected(installation, made))


async def connection(installation: Installation) -> Answer:
    """Show what is known of an installation's connection; its tokens are shown to nobody."""
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.documents import document, moment, word
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = client.named("connections", installation)
        found = await client.config.GetConnection(config_pb2.GetConnectionRequest(name=name))
        rows = [
            ("state", word(found, "state")),
            ("provider", _host(found)),
            ("client id", found.client_id),
            ("scopes", ", ".join(found.scopes)),
            ("by", found.subject),
            ("since", moment(found.connect_time)),
            ("token until", moment(found.expire_time) or "the provider does not say"),
        ]
        return Answer({"connection": document(found)}, table(["", ""], rows, ""))


async def connections(
    installation: Annotated[
        str, typer.Argument(metavar="INSTALLATION", help="Show who signed in for this one; yours when left out.")
    ] = "",
) -> Answer:
    """Show what you signed in to for yourself, or who did for an installation; tokens are shown to nobody."""
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.documents import document, moment, word
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        if installation:
            of_users = config_pb2.ListUserConnectionsRequest(name=client.named("connections", installation))
            found = await collect(client.config.ListUserConnections, of_users, "connections")
        else:
            own = config_pb2.ListOwnConnectionsRequest(parent=client.org)
            found = await collect(client.config.ListOwnConnections, own, "connections")
        rows = [(one.name.rpartition("/")[2], one.user, word(one, "state"), moment(one.connect_time)) for one in found]
        head = ["installation", "person", "state", "since"]
        return Answer({"connections": [document(one) for one in found]}, table(head, rows, "Nobody has signed in."))


async def disconnect(
    installation: Installation,
    me: Annotated[bool, typer.Option("--me", help="Only what you signed in with yourself.")] = False,
    user: Annotated[str, typer.Option(metavar="SUBJECT", help="Only what this person signed in with.")] = "",
) -> Answer:
    """Forget an installation's connection: client, tokens, everything, of people too.

    Where the provider has a revocation URL, the tokens are given back there afterwards; else revoke them yourself.
    """
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    if me and user:
        raise typer.BadParameter("say --me or --user")
    async with connect() as client:
        name, id = client.named("connections", installation), new_request_id()
        if me:
            await client.config.DeleteOwnConnection(config_pb2.DeleteOwnConnectionRequest(name=name, request_id=id))
        elif user:
            request = config_pb2.DeleteUserConnectionRequest(name=name, user=user, request_id=id)
            await client.config.DeleteUserConnection(request)
        else:
            await client.config.DeleteConnection(config_pb2.DeleteConnectionRequest(name=name, request_id=id))
        who = "your account" if me else f"the account of {user}" if user else installation
        return Answer({"connection": name}, done(f"{who} is not connected now"))


def _client(known: "config_pb2.Connection", client_id: str, redirect: str) -> tuple[str, bytes]:
    """The org's own client at the provider, asked for with where its secret will be sent."""
    if not client_id:
        if not on_terminal():
            raise typer.BadParameter("nobody can be asked for the client id: say --client-id", param_hint="--client-id")
        note(f"make an OAuth app at the provider, with the redirect URL {redirect}")
        client_id = asked(f"Client id at {_host(known)}")
    secret = hidden_line(f"Client secret (sent to {_host(known)} alone; empty for none)")
    if not client_id:
        raise typer.BadParameter("the client id is empty")
    return client_id, secret.encode()


def _connected(installation: str, made: "config_pb2.Connection") -> Text:
    scopes = f", with {', '.join(made.scopes)}" if made.scopes else ""
    return done(f"{installation} is connected to {_host(made)}{scopes}")


def _of_org(client: "Hardpoint", name: str) -> "Complete":
    """The end of a sign-in of the org."""
    from hardpoint.config.v1 import config_pb2

    async def complete(state: str, told: dict[str, str]) -> config_pb2.Connection:
        request = config_pb2.CompleteConnectionRequest(
            name=name, code=told["code"], state=state, iss=told.get("iss", "")
        )
        return await client.config.CompleteConnection(request)

    return complete


async def _signed_in_alone(
    client: "Hardpoint", name: str, redirect: str, paste: bool, answer: str
) -> "config_pb2.Connection":
    """What a person signed in with for themselves: from the beginning, or by the link that a call answered with."""
    from hardpoint.config.v1 import config_pb2

    async def complete(state: str, told: dict[str, str]) -> config_pb2.Connection:
        request = config_pb2.CompleteOwnConnectionRequest(
            name=name, code=told["code"], state=state, iss=told.get("iss", "")
        )
        return await client.config.CompleteOwnConnection(request)

    if answer:
        return await _answered(complete, answer)
    begin = config_pb2.BeginOwnConnectionRequest(name=name, redirect_uri=redirect)
    return await _signed_in(await client.config.BeginOwnConnection(begin), redirect, paste, complete)


async def _signed_in(
    begun: "config_pb2.BeginConnectionResponse", redirect_uri: str, paste: bool, complete: "Complete"
) -> "config_pb2.Connection":
    from hardpoint_cli.redirect import answer_of, listening
    from hardpoint_kit.errors import DeadlineExceeded, Unavailable

    state = answer_of(begun.authorization_url).get("state", "")
    if paste or urlsplit(redirect_uri).scheme == "https":
        _show_link(begun.authorization_url, open_it=False)
        told = answer_of(asked("The address that the browser ends at"))
        return await _completed(complete, state, told)
    try:
        async with listening(redirect_uri, state) as redirect:
            _show_link(begun.authorization_url, open_it=on_terminal())
            try:
                async with asyncio.timeout(SIGN_IN_SECONDS):
                    told = await redirect.answered
            except TimeoutError:
                raise DeadlineExceeded("nobody signed in within ten minutes", fix="connect again") from None
            made = await _completed(complete, state, told)
            redirect.tell("Connected", "You can close this page and go back to your terminal.")
            return made
    except OSError as error:
        raise Unavailable(
            f"{urlsplit(redirect_uri).netloc} cannot be listened on: {error.strerror}",
            fix="say --paste, or another port with --redirect, which your OAuth app must have in its list",
        ) from error


async def _answered(complete: "Complete", answer: str) -> "config_pb2.Connection":
    """The end of a sign-in that a refused call began."""
    from hardpoint_cli.redirect import answer_of

    told = answer_of(answer)
    return await _completed(complete, told.get("state", ""), told)


async def _completed(complete: "Complete", state: str, told: dict[str, str]) -> "config_pb2.Connection":
    from hardpoint_kit.errors import Conflict

    if told.get("state") != state or not (told.get("code") or told.get("error")):
        raise Conflict(
            "this is not the answer to the link above", reason="SIGN_IN_INVALID", fix="connect again, with its own link"
        )
    if error := told.get("error"):
        raise Conflict(f"the provider says {error}", reason="SIGN_IN_REFUSED", fix="connect again, and consent")
    return await complete(state, told)


def _show_link(url: str, open_it: bool) -> None:
    show(Text.assemble("Sign in here, within ten minutes:\n", (url, "cyan")), stderr=True)
    if open_it:
        import threading
        import webbrowser

        # A browser in the terminal would hold up the port that is listened on.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _host(connection: "config_pb2.Connection") -> str:
    return urlsplit(connection.provider.token_url).hostname or ""
