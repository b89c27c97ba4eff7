"""What of its authority an execution used: what was admitted and acted upon, and nothing that was only granted."""

import pytest

from executor.conftest import HOSTS, Run
from executor.test_denials import finish
from executor.upstream import Upstream, redirect
from hardpoint_executor.domain import Limits
from hardpoint_executor.rpc import finished_to_proto
from hardpoint_manifest.authority import Authority

FETCH = {"python": "await self.fetch(input['url'])", "javascript": "await this.fetch(input.url);"}
LANGUAGES = pytest.mark.parametrize("language", FETCH)
pytestmark = pytest.mark.jail
EVERYTHING = Authority.of(
    ["network.http.get", "network.http.post", "file.temporary", "compute.light", "compute.heavy"], HOSTS
)


@LANGUAGES
async def test_a_request_uses_its_method_its_host_and_the_lightest_tier(run: Run, language: str) -> None:
    async with Upstream() as api:
        url = {"url": "https://api.example.com/"}
        finished = await finish(run, language, FETCH[language], {"api.example.com": api}, granted=EVERYTHING, input=url)
    assert finished.used == Authority.of(["network.http.get", "compute.light"], ["api.example.com"])
    sent = finished_to_proto(finished)
    assert list(sent.used_permissions) == ["compute.light", "network.http.get"]
    assert list(sent.used_hosts) == ["api.example.com"]


@LANGUAGES
async def test_what_was_refused_was_not_used(run: Run, language: str) -> None:
    finished = await finish(run, language, FETCH[language], {}, granted=EVERYTHING, input={"url": "https://evil.test/"})
    assert finished.error.reason == "HOST_NOT_GRANTED"
    assert finished.used == Authority.of(["compute.light"])


async def test_a_redirect_uses_both_hosts(run: Run) -> None:
    capability = {
        "id": "probe",
        "version": "1.0.0",
        "actions": [{"id": "get"}],
        "integration": {"type": "api", "endpoint": "https://api.example.com/x"},
        "hosts": ["other.example.com"],
        "permissions": ["network.http.get"],
    }
    async with Upstream(lambda _: redirect("https://other.example.com/y")) as api, Upstream() as other:
        upstreams = {"api.example.com": api, "other.example.com": other}
        finished = await finish(run, "", capability, upstreams, granted=EVERYTHING)
    assert finished.used == Authority.of(["network.http.get"], HOSTS)


async def test_a_temporary_file_uses_its_permission(run: Run) -> None:
    finished = await finish(run, "python", "await self.file.write('a.txt', 'x')", {}, granted=EVERYTHING)
    assert finished.used == Authority.of(["file.temporary", "compute.light"])


@pytest.mark.parametrize(
    ("seconds", "most", "granted", "used"),
    [
        (0.2, 60.0, ("light", "heavy"), {"compute.light"}),
        (0.2, 60.0, ("heavy",), set()),
        (3.0, 60.0, ("light", "moderate"), {"compute.moderate"}),
        (11.0, 60.0, ("heavy",), {"compute.heavy"}),
        (10.02, 10.0, ("moderate",), {"compute.moderate"}),
        (61.0, 90.0, ("heavy",), set()),
    ],
)
def test_the_tier_that_was_needed(seconds: float, most: float, granted: tuple[str, ...], used: set[str]) -> None:
    authority = Authority.of(f"compute.{tier}" for tier in granted)
    assert Limits(wall_seconds=most).compute_used(authority, seconds) == used
