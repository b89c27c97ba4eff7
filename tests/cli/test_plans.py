"""Plans as people read them."""

from hardpoint_cli.plans import outline
from hardpoint_manifest.plan import After, Does, Plan, Retry, Step


def test_every_line_says_what_is_not_plain() -> None:
    inner = Step(id="in", does=Does.HTTP, action="in")
    steps = (
        Step(id="rows", does=Does.PARSE, format="csv"),
        Step(id="some", does=Does.FILTER, condition="item.n > 1", after=(After(step="rows"),)),
        Step(id="many", does=Does.BRANCH, condition="size(steps.some) > 9", after=(After(step="some"),)),
        Step(id="ask", does=Does.APPROVAL, after=(After(step="many", port="then"),)),
        Step(
            id="each",
            does=Does.STEPS,
            for_each="steps.some",
            steps=(inner,),
            after=(After(step="ask"), After(step="many", port="else")),
        ),
        Step(id="rest", does=Does.WAIT, input=60, after=(After(step="each"),)),
        Step(id="paid", does=Does.EVENT, input="paid", when="input.on", after=(After(step="rest"),)),
        Step(
            id="tell",
            does=Does.CALL,
            action="email.send",
            retry=Retry(attempts=2),
            on_error="continue",
            revert=Step(id="u", does=Does.CALL, action="email.sorry"),
            after=(After(step="paid"),),
        ),
        Step(id="apart", does=Does.VALUE),
    )
    lines = outline(Plan(steps=steps, on_error=Step(id="on-error", does=Does.CALL, action="notify.admin")))
    assert [" ".join(line.split()) for line in lines] == [
        "rows read as csv",
        "some keep of a list item.n > 1",
        "many branch size(steps.some) > 9",
        "ask ask a person after many (then)",
        "each loop after ask, many (else); for each of steps.some, 100 at most",
        "in request",
        "rest wait 60 s",
        "paid wait for the event paid if input.on",
        "tell email.send tried 2 times; goes on when it fails; undone by email.sorry",
        "apart make a value at once",
        "on error notify.admin",
    ]
    assert lines[5].startswith("  in")
