"""What is kept of what an execution logs."""

from hardpoint_executor.domain import Log, Progress, Started
from hardpoint_executor.logbook import MOST_BYTES, MOST_LINES, Logbook


def lines(*messages: str) -> list[str]:
    logbook = Logbook()
    for message in messages:
        logbook.hear(Log("info", message))
    return [line.message for line in logbook.lines]


def test_lines_are_kept_as_they_came_and_nothing_else() -> None:
    logbook = Logbook()
    for event in (Started("code/python"), Log("warning", "thin"), Progress(0.5, "half"), Log("info", "done")):
        logbook.hear(event)
    assert logbook.lines == (Log("warning", "thin"), Log("info", "done"))


def test_of_too_many_the_first_are_kept_and_the_others_counted() -> None:
    assert lines(*["x"] * MOST_LINES) == ["x"] * MOST_LINES
    assert lines(*["x"] * (MOST_LINES + 3)) == [*["x"] * MOST_LINES, "3 more lines were logged"]


def test_of_too_much_as_well_and_nothing_comes_after_what_is_left_out() -> None:
    half = "\u00e9" * (MOST_BYTES // 4)  # two bytes each
    assert lines(half, half, "x", "") == [half, half, "2 more lines were logged"]
