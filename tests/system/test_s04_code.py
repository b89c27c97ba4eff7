"""S04: the design document's JavaScript, byte for byte, and its Python twin give the same figures."""

import pytest

from .conftest import CSV


@pytest.mark.jail
async def test_javascript_and_python_agree(add, agent):
    await add("custom-data-analyzer.js")
    await add("custom_data_analyzer.py")

    script = await agent.execute("data-analyzer.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"})
    twin = await agent.execute("data-analyzer-python.analyzeDataset", {"dataset": CSV, "analysisType": "statistical"})

    assert script.error is None, script.error
    assert twin.error is None, twin.error
    assert script.data["mean"] == 22
    assert script.data["median"] == 3
    assert script.data["outliers"] == [100]
    assert script.data["stdDev"] == pytest.approx(43.6177, abs=1e-3)  # of a sample
    assert twin.data.pop("stdDev") == pytest.approx(script.data.pop("stdDev"))
    assert twin.data == script.data


@pytest.mark.jail
async def test_a_helper_that_does_not_exist_is_the_authors_error(add, agent):
    await add("custom-data-analyzer.js")
    failed = await agent.execute("data-analyzer.analyzeDataset", {"dataset": CSV, "analysisType": "trends"})
    assert failed.error.reason == "USER_ERROR"
    assert "trendAnalysis" in failed.error.message
    assert failed.error.place.startswith("custom-data-analyzer.js:")


@pytest.mark.jail
async def test_helpers_are_not_actions(add, agent):
    await add("custom-data-analyzer.js")
    assert [tool.name for tool in await agent.tools()] == ["data-analyzer.analyzeDataset"]
