"""One list of system calls holds in both tiers: nsjail, our compiler and the kernel make the same of it."""

import asyncio
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_executor.jail import Jails, OutcomeKind, launch
from hardpoint_executor.jail.bpf import compiled, telling
from hardpoint_executor.jail.policy import Action, Comparison, Policy, PolicyError, name_of, read_policy

from .programs import python

BASE = read_policy(launch.HERE / "base.policy")
X86_64 = 0xC000003E
KILLED, ALLOWED, REFUSED = 0x80000000, 0x7FFF0000, 0x00050001
TELLS, GIVES_WAY = 0x7FC00000, 0x7FF00000
MARK = 0x123456789ABCDEF0
ENDS_THE_PROCESS = {15, 60, 231, 335, 336}
"""rt_sigreturn, exit, exit_group; uretprobe and uprobe, which the kernel answers with SIGILL whatever a filter says."""
NOT_IN_SLOTS = {"execve": 59, "tgkill": 234}
PTRACE = 101
FUTEX = 202
"""Of nonsense it says itself that there is no such operation."""


def returned(program: bytes, number: int, arguments: list[int], architecture: int = X86_64) -> int:
    """What the kernel would get from a filter: the few operations of classic BPF that it uses."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments)
    accumulator, at = 0, 0
    while True:
        operation, yes, no, operand = struct.unpack_from("<HBBI", program, at * 8)
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += yes if accumulator == operand else no
            case 0x35:
                at += yes if accumulator >= operand else no
            case 0x05:
                at += operand
            case 0x06:
                return operand


def meant(policy: Policy, number: int, arguments: list[int]) -> int:
    """What a policy says, read aloud."""
    action, condition = policy.rules.get(number, (policy.default, ()))
    fits = not condition or any(all(arguments[c.argument] & c.mask == c.value for c in part) for part in condition)
    action = action if fits else policy.default
    return {"ALLOW": ALLOWED, "KILL_PROCESS": KILLED, "ERRNO": 0x00050000 | action.errno}[action.name]


ARGUMENTS = st.lists(
    st.sampled_from([0, 1, 2, 0x5401, 0x541B, 0x10000, 0x7E030080, 0x50F00, 2**32, 2**32 + 1, 2**64 - 1])
    | st.integers(0, 2**64 - 1),
    min_size=6,
    max_size=6,
)


@given(st.sampled_from(sorted(BASE.rules)) | st.integers(0, 600), ARGUMENTS)
def test_a_filter_does_what_its_policy_says(number: int, arguments: list[int]) -> None:
    assert returned(compiled(BASE), number, arguments) == meant(BASE, number, arguments)


def test_what_is_taken_out_of_a_policy_meets_its_default() -> None:
    slots = read_policy(launch.HERE / "base.policy", without=frozenset(NOT_IN_SLOTS))
    for number in NOT_IN_SLOTS.values():
        assert returned(compiled(BASE), number, [0] * 6) == ALLOWED
        assert returned(compiled(slots), number, [0] * 6) == 0x00050001
    left = {number: rule for number, rule in BASE.rules.items() if number not in NOT_IN_SLOTS.values()}
    assert left == slots.rules


@given(st.sampled_from(sorted(BASE.rules)) | st.integers(0, 600), ARGUMENTS, st.booleans())
def test_of_two_filters_that_tell_neither_lets_more_through(number: int, arguments: list[int], marked: bool) -> None:
    """What kills is told of, or killed by the second where the first lets it through; some that is refused is told of.

    All else is as it was.
    """
    arguments = [*arguments[:5], MARK if marked else arguments[5]]
    programs = telling(BASE, MARK), compiled(BASE, BASE.forbidden | BASE.refused, MARK)
    slot, child = (returned(program, number, arguments) for program in programs)
    if meant(BASE, number, arguments) == KILLED:
        assert (slot, child) == ((ALLOWED, KILLED) if marked else (TELLS, GIVES_WAY))
    elif number in BASE.refused and meant(BASE, number, arguments) == REFUSED:
        assert (slot, child) == (TELLS, GIVES_WAY)
    else:
        assert (slot, child) == (ALLOWED, meant(BASE, number, arguments))


def test_what_is_not_told_is_killed() -> None:
    told = BASE.forbidden - {PTRACE}
    for number in BASE.forbidden:
        wanted = KILLED if number == PTRACE else GIVES_WAY
        assert returned(compiled(BASE, told, MARK), number, [0] * 6) == wanted


def test_what_is_refused_and_not_told_is_refused_all_the_same() -> None:
    assert {name_of(number) for number in BASE.refused} > {"socket", "connect", "fork", "clone"}
    for number in BASE.refused:
        assert returned(compiled(BASE, BASE.refused - {number}, MARK), number, [0] * 6) == REFUSED


def test_what_kills_under_a_condition_is_not_told() -> None:
    policy = Policy({9: (Action("KILL_PROCESS"), ((Comparison(0, 2**64 - 1, 7),),))}, Action("ALLOW"))
    assert policy.forbidden == frozenset()
    assert [returned(compiled(policy), 9, [first, *[0] * 5]) for first in (7, 8)] == [KILLED, ALLOWED]


def test_other_architectures_and_numbers_of_x32_are_killed() -> None:
    assert returned(compiled(BASE), 39, [0] * 6, architecture=0x40000003) == KILLED
    assert returned(compiled(BASE), 0x40000000 | 39, [0] * 6) == KILLED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("POLICY p { ALLOW { read, read } } USE p DEFAULT ALLOW", "named twice"),
        ("POLICY p { ALLOW { reed } } USE p DEFAULT ALLOW", "no system call 'reed'"),
        ("POLICY p { TRAP(1) { read } } USE p DEFAULT ALLOW", "no action 'TRAP'"),
        ("POLICY p { ALLOW { ioctl { cmd > 1 } } } USE p DEFAULT ALLOW", "cannot read"),
        ("POLICY p { ALLOW { ioctl { nothing == 1 } } } USE p DEFAULT ALLOW", "not in list"),
        ("POLICY p { ALLOW { read } } USE q DEFAULT ALLOW", "'p' was expected"),
        ("POLICY p { ALLOW { read } } USE p DEFAULT ALLOW again", "unexpected 'again'"),
        ("POLICY p { ALLOW { read", "p.policy"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "p.policy"
    path.write_text(text)
    with pytest.raises(PolicyError, match=why):
        read_policy(path)


CALLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
seen = {}
for number in input:
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(-1)] * 6)
    seen[str(number)] = ctypes.get_errno() if result == -1 else 0
return seen
"""


async def test_the_kernel_refuses_what_the_policy_refuses(jails: Jails, door, tier: str) -> None:
    """Every system call there is, made with arguments that mean nothing, in both tiers."""
    denied = NOT_IN_SLOTS.values() if tier == "slots" else ()
    policy = Policy({number: rule for number, rule in BASE.rules.items() if number not in denied}, BASE.default)
    expected = {number: meant(policy, number, [2**64 - 1] * 6) for number in range(470)}
    tried = [n for n in expected if expected[n] != KILLED and n not in ENDS_THE_PROCESS | {FUTEX}]
    outcome = await jails.run(python(CALLS, tried), door)
    assert outcome.ok, outcome
    refused = {int(number) for number, error in outcome.value.items() if error in (1, 38)}
    assert refused == {number for number in tried if expected[number] != ALLOWED}
    errors = {number: outcome.value[str(number)] for number in refused}
    assert errors == {number: expected[number] & 0xFFFF for number in refused}


async def test_the_kernel_kills_what_the_policy_kills(jails: Jails, door) -> None:
    killed = [number for number, (action, _) in BASE.rules.items() if action == Action("KILL_PROCESS")]
    some = killed[::4]  # each takes a jail
    assert len(some) > 12
    outcomes = await asyncio.gather(*(jails.run(python(CALLS, [number]), door) for number in some))
    ended = {number: outcome.kind for number, outcome in zip(some, outcomes, strict=True)}
    assert ended == dict.fromkeys(some, OutcomeKind.VIOLATION)
