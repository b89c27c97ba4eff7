"""Examples, from what an author wrote to the model: each with its name, its action and the answers of its steps."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from hardpoint_manifest import source as written
from hardpoint_manifest.model import Action, Answer, Answers, Example


def normalised(examples: Iterable[written.SourceExample], actions: Sequence[Action]) -> Iterator[Example]:
    """The examples whose action is known; one without a name is called after its action and its place."""
    count: Counter[str] = Counter()
    for example in examples:
        action = example.action or (actions[0].id if len(actions) == 1 else None)
        if action is not None:
            count[action] += 1
            yield Example(
                name=example.name or f"{action[:60]}-{count[action]}",
                action=action,
                input=example.input,
                expected_output=example.expected_output,
                expected_error=example.expected_error or "",
                steps={step: _answers(answered) for step, answered in example.steps.items()},
                settings=example.settings,
                trigger=example.trigger,
            )


def _answers(answered: written.SourceAnswers) -> Answers:
    if isinstance(answered, list):
        return tuple(_answer(one) for one in answered)
    return "skipped" if isinstance(answered, str) else _answer(answered)


def _answer(answered: written.SourceReverted) -> Answer:
    revert = answered.revert if isinstance(answered, written.SourceAnswer) else None
    return Answer(
        gives=answered.gives,
        fails=answered.fails or "",
        given=answered.given,
        revert=None if revert is None else _answer(revert),
    )
