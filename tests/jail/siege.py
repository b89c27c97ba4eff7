"""Owns how the hostile programs are set upon jails: each beside a neighbour, canaries outside, and a search afterwards.

Line 1 of a program says how a contained run is reported and what it tries: `expect[outcomes]: words`, with
`slots[outcomes]` before the colon where that tier reports it differently; there `slots[outcomes: words]` also says what
the failure has to name, which is mostly what QuickJS does not have.
"""

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardpoint_executor.jail import (
    BrokerDenied,
    Event,
    Jail,
    JailCall,
    JailOptions,
    Jails,
    Limits,
    OnEvent,
    Outcome,
    PoolOptions,
    SlotOptions,
)

FOLDER = Path(__file__).parent / "hostile"
ATTACK_SECONDS = 40.0
BENIGN_SECONDS = 30.0
HEADER_BYTES = 256 * 1024
END_SECONDS = 10.0
_POOL = PoolOptions(running=24, queue=400, queue_seconds=90)
_LANGUAGES = {".py": "python", ".js": "javascript"}
_FIRST_LINE = re.compile(
    r"(?:#|//) expect\[(?P<all>[a-z_ ]+)\](?: slots\[(?P<slots>[a-z_ ]+)(?:: (?P<names>[^]]+))?\])?: (?P<tries>.+)"
)
_PR_SET_CHILD_SUBREAPER = 36
_CGROUPS = Path("/sys/fs/cgroup")

_SLOTS = SlotOptions(most=24, queue=400, queue_seconds=90)
TIERS: Mapping[str, Callable[[], Jail]] = {
    "single-use": lambda: Jails(JailOptions(pool=_POOL, slots=None)),
    "slots": lambda: Jails(JailOptions(pool=_POOL, slots=_SLOTS)),
}
"""What is besieged, by name. In slots actions in JavaScript run on QuickJS, which offers none of what many go for; a
header is read by Node whatever the tier."""

_WRAPPED = {
    "python": """
from hardpoint_sdk import action, capability
capability(id="hostile")
@action
async def attack(self, input):
    global ctx
    ctx = self
    value = run(input)
    return await value if hasattr(value, "__await__") else value
""",
    "javascript": """
export default { id: 'hostile', actions: { async attack(input) { globalThis.ctx = this; return run(input); } } };
""",
}
# A neighbour hides something in its /tmp, waits until the attack beside it is over, and looks whether all is as it was.
_NEIGHBOURS = {
    "python": """
import os
from hardpoint_sdk import action, capability
capability(id="neighbour")
@action
async def live(self, input):
    with open("/tmp/mine", "w") as mine:
        mine.write(input)
    await self.fetch("https://until.the.end/")
    return [open("/tmp/mine").read(), os.listdir("/tmp"), list(os.environ)]
""",
    "javascript": """
import fs from 'node:fs';
import process from 'node:process';
export default { id: 'neighbour', actions: { async live(input) {
  fs.writeFileSync('/tmp/mine', input);
  await this.fetch('https://until.the.end/');
  return [fs.readFileSync('/tmp/mine', 'utf8'), fs.readdirSync('/tmp'), Object.keys(process.env)];
} } };
""",
}


@dataclass(frozen=True)
class Program:
    """A hostile program as it stands in its file."""

    path: Path
    source: str
    outcomes: Mapping[str, frozenset[str]]
    """By tier, the ways in which a contained run may be reported; `ok_denied` is an ok whose value says so."""
    tries: str
    names: str = ""
    """What a failure in slots has to name."""

    @property
    def name(self) -> str:
        """Its path below the folder, which tells two languages apart."""
        return str(self.path.relative_to(FOLDER))

    @property
    def language(self) -> str:
        """What it is written in."""
        return _LANGUAGES[self.path.suffix]

    @property
    def only_loaded(self) -> bool:
        """True for a whole module whose attack is its header: it is described, not called."""
        return self.path.parent.name == "header"

    @property
    def asks_the_siege(self) -> bool:
        """True when what it expects of the broker is what the siege's own answers."""
        return any(word in self.source for word in ("wide.example", "ctx.fetch", "HOST_NOT_GRANTED"))

    def waits(self, tier: str) -> bool:
        """True when somebody else has to end it."""
        return "timeout" in self.expected(tier)

    def expected(self, tier: str) -> frozenset[str]:
        """What may come of it in a tier."""
        return self.outcomes.get(tier, self.outcomes["all"])

    def named(self, tier: str) -> str:
        """What a failure in a tier has to name, if it has to name anything."""
        return self.names if tier == "slots" else ""


def wrapped(program: Program) -> str:
    """Its source with what makes it an action `attack`."""
    return program.source + _WRAPPED[program.language]


def _program(path: Path) -> Program:
    source = path.read_text()
    said = _FIRST_LINE.fullmatch(source.partition("\n")[0])
    assert said, f"{path.name} does not say what to expect and what it tries"
    outcomes = {tier: frozenset(words.split()) for tier in ("all", "slots") if (words := said[tier])}
    return Program(path, source, outcomes, said["tries"], said["names"] or "")


PROGRAMS = [_program(path) for path in sorted(FOLDER.rglob("*")) if path.suffix in _LANGUAGES]


@dataclass(frozen=True)
class Neighbour:
    """A benign call that lives beside an attack, from its start to its end."""

    language: str
    outcome: asyncio.Task[Outcome]
    over: asyncio.Event
    """Set when the attack is over, so that it ends."""
    undisturbed: list[Any]
    """What it finds when nobody has been there."""


@dataclass(frozen=True)
class Assault:
    """What came of one program, of the neighbour that lived through it, and of the call that began right after it.

    The latter lives on, as the neighbour of the next program.
    """

    outcome: Outcome
    told: str
    """Everything the program said on its way: log lines, progress, what it printed."""
    neighbour: Neighbour
    after: Neighbour

    @property
    def word(self) -> str:
        """The outcome in the words of line 1."""
        value = self.outcome.value
        denied = self.outcome.ok and isinstance(value, dict) and value.get("denied") is True
        return "ok_denied" if denied else str(self.outcome.kind)


@dataclass
class Siege:
    """A tier and what was done to it; after `besieged` is left, also what was found behind."""

    tier: str
    jails: Jail
    canary: str
    """Words that stand in files outside the jail and in every neighbour's, and nowhere else."""
    deadline_seconds: float
    """Of programs that run until somebody ends them."""
    _canary_file: Path
    _port: int
    assaults: dict[str, Assault] = field(default_factory=dict)
    reached: int = 0
    left: list[str] = field(default_factory=list)

    async def set_upon(self, programs: Iterable[Program], at_once: int) -> None:
        """Run every program once, some of them side by side."""
        left = iter(sorted(programs, key=lambda program: program.language))
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._assault_all(left))

    async def _assault_all(self, programs: Iterator[Program]) -> None:
        """Take one program after the other, as long as there are any."""
        neighbour = None
        for program in programs:
            if neighbour is None or neighbour.language != program.language:
                neighbour = await self._settled(program.language, neighbour)
            told: list[str] = []

            async def hear(event: Event, told: list[str] = told) -> None:
                told.append(repr(event))

            outcome = await self._attack(program, hear)
            after = await self._settled(program.language, neighbour)
            self.assaults[program.name] = Assault(outcome, "\n".join(told), neighbour, after)
            neighbour = after
        if neighbour is not None:
            neighbour.over.set()
            await neighbour.outcome

    async def _settled(self, language: str, before: Neighbour | None) -> Neighbour:
        """A neighbour that lives, or has failed to; whoever lived there before has ended."""
        if before is not None:
            before.over.set()
            await before.outcome
        secret, lives, over = f"{self.canary} {secrets.token_hex(4)}", asyncio.Event(), asyncio.Event()
        outcome = asyncio.create_task(self._benign(language, secret, lives, over))
        waits = asyncio.create_task(lives.wait())
        await asyncio.wait((outcome, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        return Neighbour(language, outcome, over, [secret, ["mine"], ["LANG"]])

    async def _attack(self, program: Program, hear: OnEvent) -> Outcome:
        seconds = self.deadline_seconds if program.waits(self.tier) else ATTACK_SECONDS
        source = program.source.replace("CANARY_FILE", str(self._canary_file)).replace("CANARY_PORT", str(self._port))
        source = source.replace("hp-canary", f"hp-canary-{self._port}")
        if program.only_loaded:
            limits = Limits(wall_seconds=seconds, output_bytes=HEADER_BYTES)
            return await self.jails.describe(program.language, source, program.path.name, limits)
        source += _WRAPPED[program.language]
        limits = Limits(wall_seconds=seconds)
        engine = "quickjs" if self.tier == "slots" and program.language == "javascript" else ""
        call = JailCall(
            program.language, source, program.path.name, "attack", {}, org="attacker", engine=engine, limits=limits
        )
        return await self.jails.run(call, _WideDoor(), hear)

    async def _benign(self, language: str, secret: str, lives: asyncio.Event, over: asyncio.Event) -> Outcome:
        source, limits = _NEIGHBOURS[language], Limits(wall_seconds=BENIGN_SECONDS)
        call = JailCall(
            language, source, "neighbour", "live", secret, org="neighbour", capability="neighbour", limits=limits
        )
        return await self.jails.run(call, _SlowDoor(lives, over))


@dataclass(frozen=True)
class _SlowDoor:
    """Answers when somebody else is done."""

    asked: asyncio.Event
    answers: asyncio.Event

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        self.asked.set()
        await self.answers.wait()
        return _page("")


class _WideDoor:
    """Grants one host, whose page is long."""

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        if arguments.get("url") == "https://wide.example/":
            return _page("w" * 900_000)
        raise BrokerDenied("HOST_NOT_GRANTED", "nothing else is granted")


def _page(body: str) -> dict[str, Any]:
    return {"status": 200, "headers": {}, "body": body, "encoding": "utf-8"}


@contextlib.asynccontextmanager
async def besieged(tier: str, folder: Path, deadline_seconds: float) -> AsyncIterator[Siege]:
    """Start the jails of a tier, canaries around them; afterwards `reached` and `left` of the siege are known."""
    canary = f"canary-{secrets.token_hex(8)}"
    canary_file, scratch = folder / "secret.txt", folder / "scratch"
    canary_file.write_text(canary)
    scratch.mkdir()
    before = _Before(_descriptors(), _cgroups(), {pid for pid, _ in _jailed_processes()})
    _adopt_orphans(True)
    kept, tempfile.tempdir = tempfile.tempdir, str(scratch)  # what jails leave in the temporary folder is then theirs
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
            port = listener.getsockname()[1]
            abstract.bind(f"\0hp-canary-{port}")
            abstract.listen()
            siege = Siege(tier, TIERS[tier](), canary, deadline_seconds, canary_file, port)
            await siege.jails.start()
            try:
                assert siege.jails.reasons_not_ready() == []
                yield siege
            finally:
                await siege.jails.stop()
            siege.reached = sum(_somebody_waits(place) for place in (listener, abstract))
        siege.left = await _left(before, scratch)
    finally:
        tempfile.tempdir = kept
        _adopt_orphans(False)


def _adopt_orphans(adopt: bool) -> None:
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0) == 0


def _somebody_waits(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class _Before:
    """What was there before a siege: jails of other tests in this process among it."""

    descriptors: int
    cgroups: set[Path]
    processes: set[int]


async def _left(before: _Before, scratch: Path) -> list[str]:
    """What is there that was not before; the kernel is given a moment to take processes and groups away."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while left := _found(before, scratch):
                await asyncio.sleep(0.05)
    return left


def _found(before: _Before, scratch: Path) -> list[str]:
    more = _descriptors() - before.descriptors
    return [
        *(f"process {pid} {name}" for pid, name in _jailed_processes() if pid not in before.processes),
        *(f"control group {group}" for group in _cgroups() - before.cgroups if not _alive(group)),
        *(f"file {path}" for path in scratch.rglob("*")),
        *([f"{more} descriptors more than before"] if more > 0 else []),
    ]


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _cgroups() -> set[Path]:
    return {*_CGROUPS.glob("*/hardpoint/NSJAIL*"), *_CGROUPS.glob("hardpoint/NSJAIL*")}


def _alive(group: Path) -> bool:
    """True when a process is in the group: it is of a jail that somebody else runs, since ours have ended."""
    try:
        return bool((group / "cgroup.procs").read_text())
    except OSError:
        return True  # it was removed meanwhile


def _jailed_processes() -> list[tuple[int, str]]:
    """Processes below this one that are an nsjail or in one; a jailed process may rewrite its name, not its namespace.

    This process adopts what loses its parent, so that nothing of ours can be anywhere else.
    """
    processes = dict(filter(None, map(_process, Path("/proc").glob("[0-9]*"))))
    own = processes[os.getpid()]

    def is_ours(pid: int) -> bool:
        while pid in processes and pid != os.getpid():
            pid = processes[pid].parent
        return pid == os.getpid()

    return [
        (pid, process.name)
        for pid, process in processes.items()
        if (process.depth > own.depth or process.name == "nsjail") and not process.ended and is_ours(pid)
    ]


@dataclass(frozen=True)
class _Process:
    name: str
    parent: int
    depth: int
    """How many process namespaces it is in."""
    ended: bool


def _process(folder: Path) -> tuple[int, _Process] | None:
    try:
        status = (folder / "status").read_text()
    except OSError:
        return None  # it ended meanwhile
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return int(folder.name), _Process(
        lines["Name"], int(lines["PPid"]), len(lines["NSpid"].split()), lines["State"][0] == "Z"
    )
