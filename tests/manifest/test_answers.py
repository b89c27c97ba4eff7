"""What the check finds in examples of workflows before anything is walked."""

from typing import Any

import pytest

from hardpoint_manifest.finding import Severity
from manifest.documents import document, http, only, patched, report
from manifest.test_workflow import CALL, workflow

LOOK = {"id": "look", **CALL}
EACH = {"id": "each", **CALL, "for_each": "input.list"}
MAIL = {"id": "mail", "action": "email.send", "to": "a@b.c", "subject": "s", "body": "b", "retry": 0}
ASK = {"id": "ask", "action": "approve", "message": "?"}
PAUSE = {"id": "pause", "action": "wait", "seconds": 1}
SUM = {"id": "sum", "action": "transform", "value": 1}
STEPS = (LOOK, EACH, MAIL, ASK, PAUSE, SUM)


def checked(**example: Any) -> Any:
    words = {"configuration": [{"key": "LIMIT", "type": "number"}, {"key": "TOKEN", "type": "secret"}]}
    found = workflow(*STEPS, error_handling={"on_error": "notify_admin"}, **words)
    found["capability"]["examples"] = [example]
    return report(found)


@pytest.mark.parametrize(
    ("example", "place", "message", "fix"),
    [
        ({"steps": {"lok": {}}}, "steps.lok", "there is no step lok", "did you mean look?"),
        ({"steps": {"look": [{}]}}, "steps.look", "look is done once", "write one answer, and no list"),
        ({"steps": {"each": {}}}, "steps.each", "each is done once for each item", "write a list, with an answer"),
        ({"steps": {"on-error": [{}]}}, "steps.on-error", "on-error is done once", "write one answer"),
        ({"steps": {"sum": {}}}, "steps.sum", "sum asks nobody, so it has no answer", "remove it"),
        ({"steps": {"pause": {"gives": 1}}}, "steps.pause.gives", "a wait gives nothing", "remove it"),
        ({"steps": {"look": {"gives": 1, "fails": "X"}}}, "steps.look", "a step that fails gives nothing", "leave one"),
        ({"steps": {"look": {"revert": {}}}}, "steps.look.revert", "look has no `revert`", "remove it"),
        ({"steps": {"ask": {"gives": {"aproved": True}}}}, "steps.ask.gives", "an approval gives whether", "approved"),
        ({"steps": {"ask": {"gives": "yes"}}}, "steps.ask.gives", "an approval gives whether", "approved"),
        ({"steps": {"look": {"given": {"$rnge": [0]}}}}, "steps.look.given", "$rnge is no matcher", ""),
        ({"steps": {"each": [{}, {"given": {"$type": 1}}]}}, "steps.each[1].given", "$type is no matcher", ""),
        ({"steps": {"mail": {"gives": {"id": "1"}}}}, "steps.mail.gives", "answer of email.send does not fit", ""),
        ({"steps": {"look": "skiped"}}, "steps.look", "'skiped'", "did you mean skipped?"),
        ({"steps": {"look": {"givs": 1}}}, "steps.look.givs", "`givs` is not known here", "did you mean gives?"),
        ({"steps": {"look": {"fails": "no"}}}, "steps.look.fails", "String should match", ""),
        ({"settings": {"LIMT": 1}}, "settings.LIMT", "there is no setting LIMT", "did you mean LIMIT?"),
        ({"settings": {"TOKEN": "x"}}, "settings.TOKEN", "TOKEN is a secret", "remove it"),
    ],
)
def test_an_answer_that_cannot_be_is_found_where_it_stands(example: dict[str, Any], place: str, message: str, fix: str):
    errors = [one for one in checked(**example).findings if one.severity is Severity.ERROR]
    assert [one.path for one in errors][:1] == [f"capability.examples[0].{place}"], errors
    assert message in errors[0].message
    assert fix in errors[0].fix


def test_answers_that_can_be_are_no_findings():
    found = checked(
        input={"list": [1]},
        steps={
            "look": {"given": {"$type": "object"}, "gives": [1]},
            "each": [{"fails": "GONE"}],
            "mail": {"gives": {"message_id": "1"}},
            "ask": {"gives": {"by": "carol"}},
            "pause": "skipped",
            "sum": "skipped",
            "on-error": {"gives": {"message_id": "2"}},
        },
        settings={"LIMIT": 3},
        trigger={"id": "1"},
    )
    assert found.ok, found.findings
    assert found.manifest is not None
    again = type(found.manifest).model_validate_json(found.manifest.model_dump_json())
    assert again == found.manifest


@pytest.mark.parametrize("field", ["steps", "settings", "trigger"])
def test_other_kinds_have_no_answers(field: str):
    written = document(http(examples=[{"input": {"q": "x"}, field: {}}]))
    finding = only(report(written.data).findings, "example-steps")
    assert finding.path == f"capability.examples[0].{field}"
    assert "this is http" in finding.message
    assert "--record" in finding.fix
    assert patched(written, finding).ok
