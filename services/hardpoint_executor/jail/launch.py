"""Owns what a jail is started with: its configuration, filled in from a .cfg file, and outside users of its own."""

import asyncio
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Generic, TypeVar

from .leftovers import Folder
from .nsjail import Nsjail, find_nsjail
from .rootfs import Rootfs

HERE = Path(__file__).parent
_ID_MAPS = """\
uidmap {{ inside_id: "{inside}" outside_id: "{uid}" count: 1 }}
gidmap {{ inside_id: "{inside}" outside_id: "{gid}" count: 1 }}
"""

J = TypeVar("J", bound=Nsjail)


@dataclass(frozen=True, slots=True)
class Kind(Generic[J]):
    """A kind of jail: its name in messages, its engine, its .cfg and .policy, and the users inside it.

    The first user is its init's. As root every user of every running jail is an outside user of its own, counted from
    `first_outside`; an ordinary user has but one to give, which the last of the users becomes.
    """

    name: str
    engine: str
    config: str
    policy: str
    inside_users: tuple[int, ...]
    first_outside: int
    jail: Callable[[int, list[str]], J]


class Launcher(Generic[J]):
    """Starts jails of one kind, each under outside users that no other running jail of this process has."""

    def __init__(self, kind: Kind[J], rootfs: Rootfs, cgroup_config: str = "") -> None:
        self.name = kind.name
        self._kind = kind
        self._binary = find_nsjail()
        self._rootfs = rootfs
        self._cgroup_config = cgroup_config
        self._folder = Folder()
        self._numbers: set[int] = set()

    async def start(self) -> J:
        """Start a jail and return it when its interpreter is ready. Raises JailError."""
        number = next(number for number in itertools.count() if number not in self._numbers)
        self._numbers.add(number)
        jail = None
        try:
            jail = self._kind.jail(number, self._command(number))
            await jail.wait_ready()
        except BaseException:
            if jail is None:
                self._numbers.discard(number)
            else:
                await asyncio.shield(self.discard(jail))
            raise
        return jail

    async def discard(self, jail: J) -> None:
        """Kill a jail, wait until nothing of it is left, and give its outside users back."""
        await jail.close()
        self._numbers.discard(jail.number)

    def close(self) -> None:
        """Remove the configuration files."""
        self._folder.remove()

    def _command(self, number: int) -> list[str]:
        path = self._folder.path / f"{number}.cfg"
        if not path.exists():
            text = Template((HERE / self._kind.config).read_text()).substitute(
                engine=self._kind.engine,
                id_maps=self._id_maps(number),
                root=self._rootfs.root,
                sdk=self._rootfs.sdk,
                layers=self._rootfs.layers,
                executable=self._rootfs.executable,
                policy=HERE / self._kind.policy,
            )
            path.write_text(text + self._cgroup_config)
        return [str(self._binary), "--config", str(path), "--log_fd", "4"]

    def _id_maps(self, number: int) -> str:
        users = self._kind.inside_users
        if os.geteuid() == 0:
            first = self._kind.first_outside + number * len(users)
            outside = [(first + at, first + at) for at in range(len(users))]
        else:
            users, outside = users[-1:], [(os.getuid(), os.getgid())]
        given = zip(users, outside, strict=True)
        return "".join(_ID_MAPS.format(inside=inside, uid=uid, gid=gid) for inside, (uid, gid) in given)
