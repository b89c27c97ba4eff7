"""What is shipped of the standard capabilities is one thing in three places: code, header, and the language's table."""

from collections.abc import Iterable

import pytest

import hardpoint_standard
from hardpoint_executor.jail import Jails
from hardpoint_manifest.check import check
from hardpoint_manifest.finding import Severity
from hardpoint_manifest.load import load, load_code
from hardpoint_manifest.model import Parameter
from hardpoint_manifest.standard import STANDARD_ACTIONS
from hardpoint_standard import Shipped, shipped
from jail.shared import SharedJails
from standard import headers


def plain(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Parameters without their words, which the table does not have."""
    return [
        one.model_copy(
            update={
                "description": "",
                "items": one.items and plain([one.items])[0],
                "properties": tuple(plain(one.properties)),
            }
        )
        for one in parameters
    ]


@pytest.fixture
async def jails(shared_jails: SharedJails) -> Jails:
    return await shared_jails.of("single-use")


@pytest.mark.parametrize("name", hardpoint_standard.CODE)
async def test_the_header_that_is_shipped_is_the_one_that_a_jail_reads_of_the_code(jails: Jails, name: str) -> None:
    found = {one.filename: one.header for one in shipped()}[f"{name}.py"]
    assert found == await headers.read(jails, name), "make standard writes it"


@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.filename)
def test_what_is_shipped_passes_the_checks_of_an_upload(one: Shipped) -> None:
    code = one.header is not None
    report = check(load_code(one.source, one.filename, one.header) if code else load(one.source, one.filename))
    told = {found.rule for found in report.findings if found.severity is not Severity.INFO}
    assert told == (set() if code else {"needs-setting"})
    assert one.filename == f"{one.manifest.id}.{'py' if code else 'yaml'}"


def test_the_table_of_the_language_says_what_the_shipped_headers_say() -> None:
    manifests = [one.manifest for one in shipped()]
    declared = {f"{manifest.id}.{action.id}": action for manifest in manifests for action in manifest.actions}
    assert sorted(declared) == sorted(STANDARD_ACTIONS)
    for name, action in STANDARD_ACTIONS.items():
        assert plain(declared[name].inputs) == plain(action.inputs), name
        assert plain(declared[name].outputs) == plain(action.outputs), name
        assert (declared[name].effect, declared[name].idempotent) == (action.effect, action.idempotent), name
    for manifest in manifests:
        actions = [action for action in STANDARD_ACTIONS.values() if action.capability == manifest.id]
        needed = {name for action in actions for name in (*action.permissions, *action.may_need)}
        assert needed == set(manifest.permissions), manifest.id
        assert {host for action in actions for host in action.hosts} == set(manifest.hosts), manifest.id
