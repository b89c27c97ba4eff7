"""Code files: the header arrives as data, read by running the file in a jail elsewhere; nothing is evaluated here."""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hardpoint_manifest.document import Place
from hardpoint_manifest.engine import LIBRARIES
from hardpoint_manifest.finding import Finding, ManifestError, Path, Severity

_KEY: Final = re.compile(r"(?<![\w$.\"'-])[\"']?(?P<word>[A-Za-z_$][\w$-]*)[\"']?\s*[:=(]")
_NO_CODE: Final = {
    "javascript": re.compile(
        r"""//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)(?P<key>\s*:)?""",
        re.DOTALL,
    ),
    "python": re.compile(
        r"""#[^\n]*|\"{3}.*?\"{3}|'{3}.*?'{3}|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')(?P<key>\s*:)?""",
        re.DOTALL,
    ),
}
_BEGINS: Final = {"javascript": "export default", "python": "@capability"}
_LITERAL: Final = re.compile(r"(?P<quote>[\"'`])(?P<word>(?:(?!(?P=quote))[^\\\n])*)(?P=quote)")
_STRIPPED: Final = "types are taken out and nothing is compiled"
_TYPESCRIPT: Final = {
    "enum": f"{_STRIPPED}: write an object, const Color = {{ red: 'red' }} as const",
    "namespace": f"{_STRIPPED}: write plain constants and functions",
    "module": f"{_STRIPPED}: write plain constants and functions",
    "parameter property": f"{_STRIPPED}: declare the field in the class, and assign it in the constructor",
    "import equals": f"{_STRIPPED}: write import ... from 'node:...'",
    "export assignment": f"{_STRIPPED}: write export default {{ ... }}",
}
_ASYNC_FIELD: Final = re.compile(r"^[ \t]*async\s+(\w+)\s*:\s*\{", re.MULTILINE)


def places(source: str, header: Mapping[str, Any], language: str) -> dict[Path, Place]:
    """Where the parts of a header stand, as well as a search in the code can tell; missing parts have no place."""
    keys = _index(_KEY, _blanked(source, language, texts=True))
    literals = _index(_LITERAL, _blanked(source, language, texts=False))
    lines = [0, *(match.end() for match in re.finditer("\n", source))]
    found: dict[Path, Place] = {(): Place(1, 1)}
    offsets: dict[Path, int] = {(): max(source.find(_BEGINS[language]), 0)}
    for path, value in _walk(header, ()):
        start = offsets.get(path[:-1], offsets[()])
        offset = _search(keys, literals, path[-1], value, start)
        if offset is not None:
            offsets[path] = offset
            line = bisect_right(lines, offset)
            found[path] = Place(line, offset - lines[line - 1] + 1)
    return found


def jail_error(source: bytes, filename: str, failure: Mapping[str, Any]) -> ManifestError:
    """The error of a file whose header could not be read.

    `failure` has name and message; line and column are its own or those of the innermost frame of its `stack`.
    """
    place = failure if failure.get("line") else next(iter(failure.get("stack") or ()), {})
    line, column = max(int(place.get("line") or 1), 1), max(int(place.get("column") or 1), 1)
    text = source.decode("utf-8", errors="replace")
    name, message = str(failure.get("name") or "Error"), str(failure.get("message") or "the file could not be read")
    fix = ""
    lines = text.splitlines()
    match = _ASYNC_FIELD.match(lines[line - 1]) if line <= len(lines) else None
    if match:
        first = re.compile(r"async\s+(\w+)\s*\(([^)\n]{0,200})\)").search(text)
        method = f"async {first[1]}({first[2]})" if first else "async run(input)"
        fix = (
            f"`async {match[1]}: {{` is not JavaScript; "
            f"write `{match[1]}: {{ {method} {{ ... }} }}`, with async before each function"
        )
    elif name == "TypeScriptUnsupported":
        fix = next((fix for words, fix in _TYPESCRIPT.items() if words in message), _STRIPPED)
    elif name == "LibraryNotAsked":
        names = re.findall(r"[a-z][a-z0-9-]*", message.partition(" imports ")[2].partition(" which")[0])
        fix = f"add libraries={json.dumps(names)} to @capability(...)"
    elif name == "ModuleNotFoundError":
        fix = f"a capability is one file; besides Python's own modules it can ask for {', '.join(LIBRARIES)}"
    elif name == "TypeScriptTooLarge":
        fix = "make the file smaller, or write it in JavaScript"
    elif name == "SyntaxError":
        fix = "the file must parse before it can be read; run it through your editor's syntax check"
    else:
        fix = "the header is read by running the file without input: nothing outside the actions may fail"
    return ManifestError(
        Finding("code-unreadable", Severity.ERROR, f"{filename}: {name}: {message}"[:1000], "", line, column, fix)
    )


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    parts: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, list | tuple):
        parts = iter(enumerate(value))
    for key, part in parts:
        yield (*path, key), part
        yield from _walk(part, (*path, key))


def _blanked(source: str, language: str, *, texts: bool) -> str:
    """The source without its comments and, with `texts`, without its texts but those that are keys."""

    def blank(found: re.Match[str]) -> str:
        stays = found["text"] is not None and (not texts or found["key"] is not None)
        return found[0] if stays else re.sub(r"[^\n]", " ", found[0])

    return _NO_CODE[language].sub(blank, source)


def _index(pattern: re.Pattern[str], source: str) -> dict[str, list[int]]:
    """Where each word that the pattern finds stands; one pass, however many words are looked up."""
    index: dict[str, list[int]] = {}
    for match in pattern.finditer(source):
        index.setdefault(match["word"], []).append(match.start())
    return index


def _search(
    keys: Mapping[str, list[int]], literals: Mapping[str, list[int]], key: str | int, value: Any, start: int
) -> int | None:
    if isinstance(key, str):
        offsets = keys.get(key, [])
    elif isinstance(value, Mapping):
        offsets = keys.get(str(value.get("id")), [])
    else:
        offsets = literals.get(value, []) if isinstance(value, str) else []
    following = bisect_left(offsets, start)
    return offsets[following] if following < len(offsets) else None
