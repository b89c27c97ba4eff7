"""The system account that the server runs as."""

import os
import pwd
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hardpoint_kit.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user and group, since PostgreSQL refuses root."""

    uid: int
    gid: int

    @classmethod
    def choose(cls, data: Path) -> Self:
        """This process's own account; for root the owner of existing data, else `postgres`, else `nobody`."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if data.exists():
            owner = data.stat()
            return cls(owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        raise Unavailable(
            "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody",
            fix="create the user postgres, or run as an ordinary user",
        )

    def own(self, path: Path) -> None:
        """Make the file or folder this account's."""
        os.chown(path, self.uid, self.gid)

    def run(self, deadline: float, program: Path, *arguments: str) -> str | None:
        """Run a program until a deadline of the monotonic clock: None when it succeeds, else what it printed."""
        try:
            done = subprocess.run(
                [program, *arguments],
                user=self.uid,
                group=self.gid,
                extra_groups=[] if os.geteuid() == 0 else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,
                timeout=max(deadline - time.monotonic(), 0),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{program.name} takes too long", place=str(program)) from error
        return None if done.returncode == 0 else done.stdout.strip() or f"exit code {done.returncode}"
