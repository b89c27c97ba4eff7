"""Owns the making of a seccomp filter from a policy: classic BPF for x86-64, as the kernel takes it.

Numbers are found by halving, so that the kernel, which runs a new filter once for every system call there is to learn
which it may always allow, is done with it in microseconds: every call in a slot installs one.
"""

import struct
from collections.abc import Mapping, Sequence, Set

from .policy import Action, Comparison, Condition, Policy

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, operand."""

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
_X32 = 0x40000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_FARTHEST = 255
_ALLOW, _KILL = (_RETURN, 0, 0, 0x7FFF0000), (_RETURN, 0, 0, 0x80000000)
_TELL, _GIVE_WAY = (_RETURN, 0, 0, 0x7FC00000), (_RETURN, 0, 0, 0x7FF00000)
"""USER_NOTIF, and TRACE, which gives way to it; either is ENOSYS where nobody is told."""
_LAST_ARGUMENT = 5
_HALF = 2**32 - 1

Leaf = tuple[Instruction, ...]


def compiled(policy: Policy, told: Set[int] = frozenset(), mark: int = 0) -> bytes:
    """Return the filter's instructions, eight bytes each. Other architectures, and the x32 numbers, are killed.

    A forbidden or refused call that is `told` (see `telling`) is left to the filter that tells it, except a forbidden
    one with the mark.
    """
    forbidden = dict.fromkeys(policy.forbidden & told, (*_conditions(_marked(mark), _KILL), _GIVE_WAY))
    refused = {number: _unless_allowed(policy, number, _GIVE_WAY) for number in policy.refused & told}
    return _assembled(policy, forbidden | refused)


def telling(policy: Policy, mark: int) -> bytes:
    """Return a filter that tells of a policy's forbidden and refused calls: each waits for whoever listens.

    A forbidden call whose last argument is the mark, a number that means nothing there, is let through. So a child can
    close its walls with what is forbidden afterwards; its own filter kills what has the mark.
    """
    forbidden = dict.fromkeys(policy.forbidden, (*_conditions(_marked(mark), _ALLOW), _TELL))
    refused = {number: _unless_allowed(policy, number, _TELL) for number in policy.refused}
    return _assembled(Policy({}, Action("ALLOW")), forbidden | refused)


def _unless_allowed(policy: Policy, number: int, ending: Instruction) -> Leaf:
    """What ends a refused call, where the policy does not allow it under a condition that holds."""
    action, condition = policy.rules[number]
    return (*(_conditions(condition, _ALLOW) if action.name == "ALLOW" else ()), ending)


def _marked(mark: int) -> Condition:
    return ((Comparison(_LAST_ARGUMENT, 2**64 - 1, mark),),)


def _assembled(policy: Policy, instead: Mapping[int, Leaf]) -> bytes:
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURE),
        _KILL,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        _KILL,
        *_search(_ranges(policy, instead)),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _ranges(policy: Policy, instead: Mapping[int, Leaf]) -> list[tuple[int, Leaf]]:
    """What is done from each number on: neighbours that end alike are one range."""
    default: Leaf = (_ending(policy.default),)
    ranges: list[tuple[int, Leaf]] = []
    for number in range(max([*policy.rules, *instead]) + 2):
        leaf = default
        if number in policy.rules:
            action, condition = policy.rules[number]
            leaf = (*_conditions(condition, _ending(action)), *default) if condition else (_ending(action),)
        leaf = instead.get(number, leaf)
        if not ranges or leaf != ranges[-1][1]:
            ranges.append((number, leaf))
    return ranges


def _search(ranges: Sequence[tuple[int, Leaf]]) -> list[Instruction]:
    if len(ranges) == 1:
        return list(ranges[0][1])
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(low) <= _FARTHEST:
        return [(_AT_LEAST, len(low), 0, first), *low, *high]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(low)), *low, *high]


def _conditions(condition: Condition, ending: Instruction) -> list[Instruction]:
    """Return from the filter when a part of the condition holds; go on behind it when none does."""
    program: list[Instruction] = []
    for part in condition:
        checks = [check for comparison in part for check in _checks(comparison)]
        left = sum(map(len, checks))
        for check in checks:
            left -= len(check)
            operation, _, _, operand = check[-1]
            program += [*check[:-1], (operation, 0, left + 1, operand)]
        program.append(ending)
    return program


def _checks(comparison: Comparison) -> list[list[Instruction]]:
    """Compare the low and the high half of an argument; the last instruction of each check is its comparison."""
    checks: list[list[Instruction]] = []
    for shift, at in ((0, 0), (32, 4)):
        mask, value = comparison.mask >> shift & _HALF, comparison.value >> shift & _HALF
        if mask or value:
            load = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * comparison.argument + at)
            checks.append([load, *([(_AND, 0, 0, mask)] if mask != _HALF else []), (_EQUAL, 0, 0, value)])
    return checks


def _ending(action: Action) -> Instruction:
    if action.name == "ERRNO":
        return (_RETURN, 0, 0, 0x00050000 | action.errno)
    return {"ALLOW": _ALLOW, "KILL_PROCESS": _KILL}[action.name]
