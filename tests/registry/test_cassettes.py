"""Cassettes that come with a release: it is published when somebody replayed them, and not before."""

import pytest

from hardpoint.registry.v1 import registry_pb2 as pb
from hardpoint_kit.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, PermissionDenied
from hardpoint_manifest.cassette import Cassette, write
from registry.client import Client, weather
from registry.conftest import Dial, MakeUnit
from serving import Serve

SOURCE = weather() + b"  examples: [{name: berlin, input: {location: Berlin}, expected_output: {temperature: 7}}]\n"
NAME = "orgs/acme/capabilities/weather/releases/1.0.0"


def cassette(location: str = "Berlin", **fields: object) -> bytes:
    return write(Cassette(action="get", input={"location": location}, nonce="0" * 32, **fields))


@pytest.fixture
async def runtime(dial: Dial) -> Client:
    return dial("acme", "service")


async def finish(client: Client, *failures: pb.ExampleFailure, name: str = NAME) -> pb.Release:
    return await client.registry.FinishChecks(pb.FinishChecksRequest(release=name, failures=failures))


async def test_a_release_with_cassettes_waits_for_their_replay(
    builder: Client, runtime: Client, serve: Serve, make_unit: MakeUnit
) -> None:
    await builder.draft(SOURCE, cassettes={"berlin": cassette()})
    assert (await builder.publish(NAME)).state == pb.RELEASE_STATE_CHECKING
    assert (await builder.publish(NAME)).state == pb.RELEASE_STATE_CHECKING
    await serve(make_unit())  # what another start finds in CHECKING it leaves there
    assert (await builder.release(NAME)).state == pb.RELEASE_STATE_CHECKING
    asked = pb.ListRecordedExamplesRequest(release=NAME)
    (found,) = (await runtime.registry.ListRecordedExamples(asked)).examples
    assert (found.example.name, found.cassette) == ("berlin", cassette())
    assert (await finish(runtime)).state == pb.RELEASE_STATE_PUBLISHED
    with pytest.raises(Conflict):
        await finish(runtime)


async def test_an_example_that_does_not_hold_rejects_it_by_name_and_path(builder: Client, runtime: Client) -> None:
    await builder.draft(SOURCE, cassettes={"berlin": cassette()})
    await builder.publish(NAME)
    failure = pb.ExampleFailure(example="berlin", message="temperature is 8, not 7", fix="look")
    rejected = await finish(runtime, failure)
    assert rejected.state == pb.RELEASE_STATE_REJECTED
    (finding,) = [one for one in rejected.findings if one.rule == "example-failed"]
    assert "berlin" in finding.message
    assert "temperature is 8, not 7" in finding.message
    assert (finding.path, finding.fix) == ("examples[0]", "look")
    await builder.delete(NAME)
    assert (await builder.released(SOURCE)).state == pb.RELEASE_STATE_PUBLISHED


async def test_what_is_late_every_time_rejects_the_release_and_what_was_late_once_does_not(
    builder: Client, runtime: Client
) -> None:
    await builder.draft(SOURCE, cassettes={"berlin": cassette()})
    late = pb.ExampleFailure(example="berlin", message="it did not end in time", fix="let it do less")
    states = []
    for _ in range(3):
        await builder.publish(NAME)
        told = await runtime.registry.FinishChecks(pb.FinishChecksRequest(release=NAME, late=[late]))
        states.append(told.state)
    assert states == [pb.RELEASE_STATE_CHECKING, pb.RELEASE_STATE_CHECKING, pb.RELEASE_STATE_REJECTED]
    (finding,) = [one for one in told.findings if one.rule == "example-failed"]
    assert "it did not end in time" in finding.message
    assert finding.fix == "let it do less"
    await builder.delete(NAME)
    await builder.draft(SOURCE, cassettes={"berlin": cassette()})
    await builder.publish(NAME)
    assert (await runtime.registry.FinishChecks(pb.FinishChecksRequest(release=NAME, late=[late]))).state == states[0]
    assert (await finish(runtime)).state == pb.RELEASE_STATE_PUBLISHED


async def test_nobody_but_a_unit_ends_checks_or_reads_cassettes(builder: Client, dial: Dial) -> None:
    await builder.draft(SOURCE, cassettes={"berlin": cassette()})
    with pytest.raises(Conflict):
        await finish(dial("acme", "service"))
    await builder.publish(NAME)
    for client in (builder, dial("acme", "admin")):
        with pytest.raises(PermissionDenied):
            await finish(client)
        with pytest.raises(PermissionDenied):
            await client.registry.ListRecordedExamples(pb.ListRecordedExamplesRequest(release=NAME))
    with pytest.raises(NotFound):
        await finish(dial("umbrella", "service"), name=NAME.replace("acme", "umbrella"))


async def test_other_cassettes_are_another_draft_and_change_nothing_that_is_published(
    builder: Client, runtime: Client
) -> None:
    assert (await builder.create(SOURCE, cassettes={"berlin": cassette()})).created
    assert not (await builder.create(SOURCE, cassettes={"berlin": cassette()})).created
    for others in ({}, {"berlin": cassette(output=1)}):
        with pytest.raises(AlreadyExists):
            await builder.create(SOURCE, cassettes=others)
    await builder.publish(NAME)
    await finish(runtime)
    assert (await builder.create(SOURCE)).release.state == pb.RELEASE_STATE_PUBLISHED


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("paris", cassette(), "no example has this name"),
        ("../../berlin", cassette(), "no example has this name"),
        ("berlin", cassette("Paris"), "another input"),
        ("berlin", b'{"cassette": 1}', "required"),
        ("berlin", b"\x00" * 100, "control character"),
    ],
)
async def test_what_is_no_cassette_of_the_release_is_refused(
    builder: Client, name: str, data: bytes, words: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await builder.create(SOURCE, cassettes={name: data})
    assert refused.value.reason == "CASSETTE_INVALID"
    assert words in refused.value.message.lower()
    assert refused.value.place.startswith("cassettes/")


async def test_cassettes_are_bounded_together(builder: Client) -> None:
    names = ("a", "b")
    examples = b"".join(b"    - {name: %s, input: {location: Berlin}}\n" % name.encode() for name in names)
    large = cassette(output="x" * 700_000)
    with pytest.raises(InvalidArgument) as refused:
        await builder.create(weather() + b"  examples:\n" + examples, cassettes=dict.fromkeys(names, large))
    assert refused.value.reason == "CASSETTE_LIMIT"
