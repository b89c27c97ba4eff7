"""The frame around every command: run it, show its answer or print it as JSON, say errors, choose the exit code.

A command is a coroutine that returns an Answer. Exit codes: 0 it worked, 1 refused or failed, 2 used wrongly,
130 interrupted. Heavy imports (gRPC, protobuf, the manifest language) stand inside the commands, so that `--help` and
completion do not pay for them.
"""

import errno
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from rich.console import RenderableType
from typer.core import TyperGroup
from typer.exceptions import TyperException

from hardpoint_cli import screen
from hardpoint_cli.panels import ORDER

FAILED, INTERRUPTED = 1, 130
_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
JSON = "--json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: `document` for `--json`, `shown` for people; not `ok` means exit code 1."""

    document: Any
    shown: RenderableType = ""
    ok: bool = True


Work = Callable[..., Coroutine[Any, Any, Answer]]

_as_json = Annotated[bool, typer.Option(JSON, help="Print one JSON document, errors too.")]
_JSON_PARAMETER = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_as_json)


def command(
    app: typer.Typer, name: str, *, panel: str | None = None, examples: Sequence[str] = (), **options: Any
) -> Callable[[Work], Work]:
    """Make a coroutine a command of `app`, with `--json` and its examples under the help text."""

    def register(work: Work) -> Work:
        @functools.wraps(work)
        def run(*arguments: Any, as_json: bool, **named: Any) -> None:
            _run(work, as_json, *arguments, **named)

        signature = inspect.signature(work)
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), _JSON_PARAMETER]
        )
        run.__annotations__ = {**work.__annotations__, "as_json": _as_json}
        help = paragraphs(work.__doc__ or "")
        app.command(name, help=help, rich_help_panel=panel, epilog=_epilog(examples), **options)(run)
        return work

    return register


def by_itself(group: typer.Typer, *, examples: Sequence[str]) -> Callable[[Work], Work]:
    """Make a coroutine without arguments what a group of commands does when none of them is named."""

    def register(work: Work) -> Work:
        def run(context: typer.Context, as_json: _as_json = False) -> None:
            if context.invoked_subcommand is None:
                _run(work, as_json)
            elif as_json:
                raise typer.BadParameter(f"write {JSON} after {context.invoked_subcommand}")

        help = paragraphs(work.__doc__ or "")
        group.callback(invoke_without_command=True, help=help, epilog=_epilog(examples))(run)
        return work

    return register


def _run(work: Work, as_json: bool, *arguments: Any, **named: Any) -> None:
    import asyncio

    answer = asyncio.run(work(*arguments, **named))
    if as_json:
        screen.print_json(answer.document)
    else:
        screen.show(answer.shown)
    if not answer.ok:
        raise typer.Exit(FAILED)


def _epilog(examples: Sequence[str]) -> str | None:
    return "\n\n".join(["[bold]Examples[/]", *(f"[dim]$[/] {line}" for line in examples)]) if examples else None


def paragraphs(text: str) -> str:
    """A text whose lines end where the terminal does, and not where the source's did."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


class Program(TyperGroup):
    """The root of the commands: whatever goes wrong below becomes words, a JSON document and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of their panels, groups first."""

        def place(name: str) -> tuple[int, bool]:
            found: Any = self.commands[name]
            return ORDER.index(found.rich_help_panel), not isinstance(found, TyperGroup)

        return sorted(super().list_commands(ctx), key=place)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        as_json = JSON in (sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False
        try:
            _check_text(sys.argv[1:] if args is None else args)
            code = super().main(args, *rest, **options) or 0
            if code == INTERRUPTED:
                raise typer.Abort
            sys.exit(code)
        except typer.Abort:
            _say_interrupted(as_json)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            screen.drop_output()
            sys.exit(FAILED)
        except TyperException as error:
            _say_misused(error, as_json)
            sys.exit(error.exit_code)
        except Exception as error:
            _say_failed(_explained(error), as_json)
            sys.exit(FAILED)


def _say_interrupted(as_json: bool) -> None:
    from hardpoint_kit.errors import Cancelled

    screen.show_error(Cancelled("interrupted"), as_json)


def _say_failed(error: Any, as_json: bool) -> None:
    try:
        screen.show_error(error, as_json)
    except OSError:  # nothing can be written where the answer goes
        screen.drop_output()
        screen.show_error(error, as_json=False)


def _check_text(words: Sequence[str]) -> None:
    """Names and values travel as UTF-8, and a byte that is none comes from the shell as half a character."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("an argument is not text in UTF-8; rename the file, if it is one") from None


def _say_misused(error: Any, as_json: bool) -> None:
    error.message = error.message.removeprefix("Value error, ")  # words of a library that reads arguments
    if as_json:
        screen.print_json(
            {"error": {**screen.NO_ERROR, "reason": "INVALID_ARGUMENT", "message": error.format_message()}}
        )
        return
    from typer import rich_utils

    rich_utils.rich_format_error(error)


def _explained(error: Exception) -> Any:
    """The error as a HardpointError; what is none is a defect of this program, and says where."""
    from hardpoint_kit.errors import Conflict, HardpointError, Internal

    if isinstance(error, HardpointError):
        return error
    if isinstance(error, OSError) and (error.filename or error.errno in _CANNOT_WRITE):
        place = str(error.filename or "where the answer goes")
        return Conflict(f"{place}: {error.strerror}", fix="use another place, or see that it can be read and written")
    traced = error.__traceback__
    while traced is not None and traced.tb_next is not None:
        traced = traced.tb_next
    place = f"{traced.tb_frame.f_code.co_filename}:{traced.tb_lineno}" if traced else ""
    return Internal(f"{type(error).__name__}: {error}", place=place, fix="this is a defect of the CLI: report it")
