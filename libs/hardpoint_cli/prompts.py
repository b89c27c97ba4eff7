"""What a person or a pipe is asked for. Questions go to stderr: stdout is for the answer."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


def on_terminal() -> bool:
    """Whether somebody sits there who can be asked."""
    return sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask for a yes; no is what an empty answer means."""
    with _interruptible():
        return typer.confirm(question, default=False, err=True)


def hidden(what: str) -> str:
    """Ask for a value without an echo; without a terminal, what is piped in, less the newline at its end."""
    with _interruptible():
        if on_terminal():
            return str(typer.prompt(what, hide_input=True, err=True, default="", show_default=False))
        return _text(sys.stdin.read).removesuffix("\n").removesuffix("\r")


def hidden_line(what: str) -> str:
    """Ask for a value without an echo; without a terminal, the next line of what is piped in."""
    return hidden(what) if on_terminal() else _line()


def asked(what: str) -> str:
    """Ask for a value; without a terminal, the next line of what is piped in."""
    with _interruptible():
        return str(typer.prompt(what, err=True, default="", show_default=False)).strip() if on_terminal() else _line()


def _line() -> str:
    with _interruptible():
        return _text(sys.stdin.readline).strip()


def piped() -> str:
    """All that comes on stdin."""
    with _interruptible():
        return _text(sys.stdin.read)


def _text(read: Callable[[], str]) -> str:
    """What is piped in; no error says a character of it, since it may be a secret."""
    try:
        text = read()
        text.encode()
    except UnicodeError:
        raise typer.BadParameter("what is piped in is not text in UTF-8") from None
    return text


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a read that blocks: asyncio would cancel the command, which the read never lets notice."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
