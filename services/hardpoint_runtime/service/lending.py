"""Owns the stored files of a call: those of its input, as they really are, and the ticket that lets it open them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hardpoint_kit.errors import InvalidArgument, NotFound
from hardpoint_kit.names import FileName, RunName
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.handles import Place, handles, path_of, with_handles
from hardpoint_runtime.domain.executions import Handle, Lent, SaveLimits
from hardpoint_runtime.domain.releases import Action
from hardpoint_runtime.peers import Files

MOST_FILES: Final = 100
SAVE: Final = SaveLimits(files=16, size_bytes=32 * 1024 * 1024)
"""What one call may save, with all that it calls."""
NOTHING: Final = SaveLimits(0, 0)


class Lending:
    """Asks for a ticket where a call has files, or may make some."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def lend(
        self,
        run: RunName,
        action: Action,
        authority: Authority,
        value: Mapping[str, Any],
        known: Sequence[str] = (),
        *,
        saves: bool = False,
    ) -> tuple[Lent, Mapping[str, Any]]:
        """The ticket of a call, and its input with every handle as its file is, whatever the input says of it.

        `known` are files that the agent gave along beside the input. Raises InvalidArgument FILE_UNKNOWN with every
        handle that names no file of the org, FILE_EXPIRED with those of one that was kept for a while.
        """
        found = dict(handles(action.input_schema, value))
        saves = saves or "file.write" in authority.permissions
        if not found and not known and not saves:
            return Lent(), value
        named = _named(run.org, found, path_of)
        beside = _named(run.org, {(at,): {"id": name} for at, name in enumerate(known)}, _beside)
        names = sorted({*named.values(), *beside.values()}, key=str)
        try:
            lent = await self._files.ticket(run, names, SAVE if saves else NOTHING)
        except NotFound as error:
            gone = error.metadata.get("resource")
            paths = [path_of(place) for place, name in named.items() if str(name) == gone]
            paths += [_beside(place) for place, name in beside.items() if str(name) == gone]
            if not paths:
                raise
            raise _expired(paths, error) if error.reason == "FILE_EXPIRED" else _unknown(paths) from None
        real: dict[str, Handle] = {str(handle["id"]): handle for handle in lent.handles}
        inside = [real[str(name)] for name in sorted(set(named.values()), key=str)]
        lent = Lent(lent.ticket, tuple(inside), tuple(real[str(name)] for name in dict.fromkeys(beside.values())))
        if not found:
            return lent, value
        return lent, with_handles(value, {place: real[str(name)] for place, name in named.items()})


def _named(org: str, found: Mapping[Place, Mapping[str, Any]], path: Callable[[Place], str]) -> dict[Place, FileName]:
    """The names that handles stand for; what is another org's is told like what is not there."""
    if len(found) > MOST_FILES:
        raise InvalidArgument(
            {"input": f"holds {len(found)} files; at most {MOST_FILES} can be passed"}, reason="INPUT_INVALID"
        )
    named: dict[Place, FileName] = {}
    for place, handle in found.items():
        try:
            name = FileName.parse(str(handle.get("id")))
        except InvalidArgument:
            continue
        if name.org == org:
            named[place] = name
    if unknown := [path(place) for place in found if place not in named]:
        raise _unknown(unknown)
    return named


def _beside(place: Place) -> str:
    return f"context.files[{place[0]}]"


def _expired(paths: list[str], error: NotFound) -> InvalidArgument:
    since = error.metadata.get("expire_time", "")
    return InvalidArgument(
        dict.fromkeys(paths, f"names a file that expired at {since}"),
        reason="FILE_EXPIRED",
        fix=error.fix,
        expire_time=since,
    )


def _unknown(paths: list[str]) -> InvalidArgument:
    return InvalidArgument(
        dict.fromkeys(paths, "names no file of this org"),
        reason="FILE_UNKNOWN",
        fix="upload it (hardpoint file upload PATH) and pass the handle that this gives",
    )
