"""What an author can choose of the engine and its libraries, from the file to the agent's call."""

import pytest

from .conftest import EXAMPLES


@pytest.mark.jail
async def test_typescript_is_pushed_and_called_like_javascript(add, agent):
    await add("loan-calculator.ts")
    paid = await agent.execute("loan-calculator.monthlyPayment", {"amount": 10000, "yearlyRate": 6, "months": 12})
    assert paid.error is None, paid.error
    assert paid.data == {"payment": 860.66, "interest": 327.97}
    planned = await agent.execute("loan-calculator.schedule", {"amount": 1200, "yearlyRate": 0, "months": 3})
    assert [row["left"] for row in planned.data["rows"]] == [800, 400, 0]


@pytest.mark.jail
async def test_an_error_in_typescript_is_shown_at_the_authors_line(add, agent):
    await add("loan-calculator.ts")
    failed = await agent.execute("loan-calculator.schedule", {"amount": 1, "yearlyRate": 1, "months": 601})
    assert (failed.error.reason, failed.error.metadata["name"]) == ("USER_ERROR", "RangeError")
    lines = (EXAMPLES / "loan-calculator.ts").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "RangeError" in text)
    assert failed.error.place == f"loan-calculator.ts:{line}:{lines[line - 1].index('new') + 1}"
