"""Who has an nsjail for every call although there are slots: releases that ask for it, and orgs whose policy does."""

from dataclasses import replace

import pytest

from executor.brokers import broker_of, client_of
from hardpoint_executor import domain
from hardpoint_executor.artifacts import Code
from hardpoint_executor.jail import Jails
from hardpoint_executor.jail.single_use import SINGLE_USE
from hardpoint_executor.jail.slot import SLOTS
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_kit.errors import Conflict
from hardpoint_manifest.engine import ONLY_IN_SLOTS
from jail.programs import execution, javascript, python
from jail.shared import SharedJails

PYTHON = python("return 1")
EXECUTION = execution(PYTHON)
SCRIPT = Code("javascript", javascript("return 1;").source)


@pytest.fixture
async def both(shared_jails: SharedJails) -> Jails:
    """Jails of every tier, as usual."""
    return await shared_jails.of("slots")


async def tier_of(jails: Jails, runner: CodeRunner, asked: domain.Execution) -> str:
    """The tier that has the call while it runs."""
    seen = set()

    def look(event: domain.Event) -> None:
        if isinstance(event, domain.Started):
            seen.update({"slots"} if jails._calls["python", True].pool._taken else ())
            seen.update({"single-use"} if jails._calls["python", False].pool._taken else ())

    async with client_of({}) as client:
        code = Code("python", PYTHON.source)
        runner.offer.admit(code, asked)
        ran = await runner.run(code, asked, {}, broker_of(client), domain.Limits(), look)
    assert (ran.output, ran.error) == (1, None)
    (tier,) = seen
    return tier


async def test_a_release_that_asks_for_it_has_a_jail_for_every_call(both: Jails) -> None:
    runner = CodeRunner(both)
    assert await tier_of(both, runner, EXECUTION) == "slots"
    assert await tier_of(both, runner, replace(EXECUTION, strict=True)) == "single-use"


async def test_an_org_whose_policy_asks_for_it_has_a_jail_for_every_call(both: Jails) -> None:
    assert await tier_of(both, CodeRunner(both), replace(EXECUTION, single_use=True)) == "single-use"


async def test_an_engine_that_has_slots_alone_is_refused_and_says_who_wants_it(both: Jails) -> None:
    runner = CodeRunner(both)
    script = replace(EXECUTION, engine="quickjs")
    runner.offer.admit(SCRIPT, script)
    switch = ", or have an admin of the org say: hardpoint policy set --no-single-use"
    for refused, who, other_fix in (
        (replace(script, single_use=True), "the policy of acme wants it", switch),
        (replace(script, strict=True), "the release asks for it", ""),
    ):
        with pytest.raises(Conflict, match="cannot give every call a jail of its own") as error:
            runner.offer.admit(SCRIPT, refused)
        assert error.value.reason == "ENGINE_UNAVAILABLE"
        assert error.value.metadata == {"engine": "quickjs", "offered": "node"}
        assert who in error.value.message
        assert error.value.fix == f"publish a release that says engine: node{other_fix}"
        runner.offer.admit(SCRIPT, replace(refused, engine="node"))
    offered = {engine.id: engine.single_use for engine in runner.offer.engines().engines}
    assert offered == {"node": True, "quickjs": False}


def test_what_the_check_says_of_engines_is_what_there_is() -> None:
    assert SLOTS.keys() - SINGLE_USE.keys() == ONLY_IN_SLOTS
