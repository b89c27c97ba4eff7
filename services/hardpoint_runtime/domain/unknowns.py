"""Owns what the dry run of a workflow does not know: the answers that nobody has given, and what stands on them."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hardpoint_manifest.expression import Expression
from hardpoint_manifest.plan import Does
from hardpoint_manifest.walk import Compiled, Program, Walk

Path = tuple[str, ...]
"""A step by its id, or what of its output: `("ask", "by")`."""


@dataclass(slots=True)
class Unknowns:
    """Of one scope of steps, and the scopes around it. `names` are the short names of outputs."""

    paths: set[Path] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    """Steps of this scope that are done or not, which nobody knows."""
    undecided: set[str] = field(default_factory=set)
    """Branches of this scope that go one way or the other."""
    behind: set[str] = field(default_factory=set)
    """Steps of this scope that somebody has to approve first who does not ask, and all that wait for them."""

    def inside(self, program: Program) -> "Unknowns":
        """Those that steps within a step know of, which have ids of their own."""
        named = {compiled.step.output: compiled.step.id for compiled in program.steps if compiled.step.output}
        return Unknowns(set(self.paths), {**self.names, **named})

    def add(self, step: str, *parts: str) -> None:
        """What a step gives, or this part of it, nobody knows."""
        self.paths.add((step, *parts))

    def leave_open(self, step: str, *, behind: bool) -> None:
        """Whether a step is done at all nobody knows; nothing that waits for one `behind` an approval begins either."""
        self.maybe.add(step)
        self.add(step)
        if behind:
            self.behind.add(step)

    def in_any(self, expressions: Iterable[Expression]) -> dict[str, list[str]]:
        """The expressions among these that cannot be evaluated, each with the steps whose answers it needs."""
        needs = {one.text: sorted({path[0] for path in self._in(one)}) for one in expressions}
        return {text: steps for text, steps in needs.items() if steps}

    def reached(self, compiled: Compiled, walk: Walk) -> bool | None:
        """Whether a step's turn comes, as far as the steps before it say; None when nobody knows.

        All that it comes after has been settled in the walk, or is open here.
        """
        if any(edge.step in self.behind for edge in compiled.step.after):
            return None
        open_edges = False
        for edge in compiled.step.after:
            before = walk.settled[edge.step]
            if edge.port == "settled":
                return True
            if edge.step in self.maybe or (edge.step in self.undecided and edge.port != "done"):
                open_edges = True
            elif before.state == "done" and edge.port in ("done", before.went):
                return True
        return None if open_edges else not compiled.step.after

    def _in(self, expression: Expression) -> Iterator[Path]:
        for path in expression.source.paths:
            parts = tuple(str(part) for part in itertools.takewhile(lambda part: isinstance(part, str), path.parts))
            if path.root in self.names:
                read: Path = (self.names[path.root], *parts)
            elif path.root == "steps":
                read = parts
            else:
                continue
            yield from (one for one in self.paths if one[: len(read)] == read or read[: len(one)] == one)


def expressions_of(compiled: Compiled) -> tuple[Expression, ...]:
    """What has to be evaluated to do a step, but for `when`."""
    own = [compiled.condition, compiled.for_each]
    given = () if compiled.step.does is Does.STEPS else compiled.input.expressions
    return (*(one for one in own if one is not None), *given, *compiled.key.expressions)
