"""Rules about examples: they name an action, fit its schemas, and do not expect one exact value from a live service."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import nearest
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.matcher import has_matcher, invalid_matchers, type_matcher
from hardpoint_manifest.model import Action, Kind
from hardpoint_manifest.rules.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """Every example."""
    actions = subject.manifest.actions
    names = Counter(example.name for example in subject.manifest.examples)
    for name in [name for name, count in names.items() if count > 1]:
        yield subject.error(
            "duplicate-id", subject.at("examples"), f"two examples are called {name}", "give each a `name` of its own"
        )
    for index, example in enumerate(subject.source.examples):
        path = subject.at("examples", index)
        action = (
            subject.manifest.action(example.action) if example.action else actions[0] if len(actions) == 1 else None
        )
        if action is not None:
            yield from _fits(subject, path, example, action)
            yield from _live(subject, path, example)
        elif example.action:
            close = nearest(example.action, [one.id for one in actions])
            fix = f"did you mean {close}?" if close else ""
            message = f"there is no action {example.action}"
            yield subject.error("dangling-reference", (*path, "action"), message, fix)
        elif actions:
            yield subject.error(
                "ambiguous-example", path, "the example names no action", f"add action: {actions[0].id}"
            )


def _fits(subject: Subject, path: Path, example: written.SourceExample, action: Action) -> Iterator[Finding]:
    given = action.with_defaults(example.input)
    yield from mismatches(subject, (*path, "input"), action.input_schema(), given, "input")
    expected = example.expected_output
    if expected is not None and example.expected_error is not None:
        yield subject.error(
            "example-mismatch", path, "the example expects an output and an error", "leave one of them out"
        )
    for place, reason in invalid_matchers(expected):
        yield subject.error("invalid-matcher", (*path, "expected_output", *place), reason)
    if expected is not None and not has_matcher(expected):
        yield from mismatches(subject, (*path, "expected_output"), action.output_schema(), expected, "output")


def mismatches(subject: Subject, path: Path, schema: dict[str, Any], value: Any, noun: str) -> Iterator[Finding]:
    """What of a value in an example does not fit its schema."""
    for error in Draft202012Validator(schema).iter_errors(value):
        place = (*path, *error.absolute_path)
        yield subject.error("example-mismatch", place, f"the {noun} does not fit its schema: {error.message[:200]}")


def _live(subject: Subject, path: Path, example: written.SourceExample) -> Iterator[Finding]:
    expected = example.expected_output
    if subject.manifest.kind is not Kind.HTTP or expected is None or has_matcher(expected):
        return
    suggestion = type_matcher(expected)
    if suggestion != expected:
        yield subject.info(
            "exact-live-values",
            (*path, "expected_output"),
            "the example expects exact values from a live service, which will change",
            'say what must hold: {"$type": "number"}, {"$range": [0, 50]} or {"$regex": "^S"}',
            (PatchOp("replace", pointer((*path, "expected_output")), suggestion),),
        )
