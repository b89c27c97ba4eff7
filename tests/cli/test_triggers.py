"""Triggers from the command line."""

import json

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.documents import from_struct

NAME = "orgs/acme/agents/helper/triggers/on-message"
CREATE = ("trigger", "create", "helper", "on-message")
SLACK = (*CREATE, "--webhook", "slack", "--secret", "SIGNING_SECRET", "--action", "weather-lookup.get-weather")


def test_a_webhook_is_made_and_its_address_printed(cli: Run, attached: World) -> None:
    said = cli(*SLACK, "--input", json.dumps({"location": "${event.event.text}"}), "--filter", "event.type == 'x'").out
    assert "https://hooks.example.com/hooks/t0ken" in said
    assert "$ hardpoint trigger secret helper on-message" in said
    asked = attached.asked["CreateTrigger"][0]
    assert (asked.parent, asked.trigger_id) == ("orgs/acme/agents/helper", "on-message")
    assert (asked.trigger.verifier.kind, asked.trigger.verifier.secret) == ("slack", "SIGNING_SECRET")
    assert from_struct(asked.trigger.input) == {"location": "${event.event.text}"}
    assert asked.request_id
    shown = cli("trigger", "show", "helper", "on-message", "--json").json["trigger"]
    assert shown["url"] == "https://hooks.example.com/hooks/t0ken"


def test_a_webhook_that_refuses_everything_says_so(cli: Run, attached: World) -> None:
    said = cli(*CREATE, "--webhook", "none", "--action", "weather-lookup.get-weather").out
    assert "every delivery is refused" in said
    assert "every delivery is refused" in cli("trigger", "list", "helper").out
    said = cli(*CREATE, "--webhook", "none", "--allow-unsigned", "--action", "weather-lookup.get-weather").out
    assert "every delivery is refused" not in said
    assert "unsigned" in said


def test_the_signing_secret_is_typed_where_nobody_sees_it(cli: Run, attached: World) -> None:
    cli(*SLACK)
    said = cli("trigger", "secret", "helper", "on-message", stdin="hush-5b1e\n")
    assert said.code == 0, said.err
    assert "hush" not in said.out + said.err
    assert b"hush-5b1e" in attached.secret_values.values()


def test_schedules_uploads_and_declared_triggers(cli: Run, attached: World) -> None:
    action = ("--action", "weather-lookup.get-weather")
    cli("trigger", "create", "helper", "daily", "--schedule", "0 9 * * mon-fri", "--zone", "Europe/Berlin", *action)
    cli("trigger", "create", "helper", "files", "--on-upload", *action)
    cli("trigger", "create", "helper", "theirs", "--of", "weather-lookup.on-rain")
    daily, files, theirs = [asked.trigger for asked in attached.asked["CreateTrigger"]]
    assert (daily.schedule, daily.time_zone, daily.type) == (
        "0 9 * * mon-fri",
        "Europe/Berlin",
        trigger_pb2.TRIGGER_TYPE_SCHEDULE,
    )
    assert (files.type, files.event) == (trigger_pb2.TRIGGER_TYPE_EVENT, "file.uploaded")
    assert (theirs.declared, theirs.type) == ("weather-lookup.on-rain", trigger_pb2.TRIGGER_TYPE_UNSPECIFIED)
    said = cli("trigger", "list", "helper").table
    assert "daily | active | schedule | weather-lookup.get-weather | 0 9 * * mon-fri Europe/Berlin" in said


@pytest.mark.parametrize("wrong", [(), ("--webhook", "slack", "--schedule", "0 9 * * *")])
def test_a_trigger_is_of_one_kind(cli: Run, attached: World, wrong: tuple[str, ...]) -> None:
    said = cli(*CREATE, *wrong, "--action", "weather-lookup.get-weather")
    assert said.code == 2
    assert "--webhook" in said.err


def test_a_trigger_is_changed_where_the_command_says_so_and_nowhere_else(cli: Run, attached: World) -> None:
    cli(*SLACK, "--input", '{"location": "Rome"}', "--filter", "event.type == 'x'", "--name", "Messages")
    edit = ("trigger", "edit", "helper", "on-message")
    changed = cli(*edit, "--filter", "", "--input", '{"location": "Oslo"}', "--json").json["trigger"]
    assert changed["input"] == {"location": "Oslo"}
    shown = cli("trigger", "show", "helper", "on-message", "--json").json["trigger"]
    assert (shown["filter"], shown["display_name"], shown["verifier"]["kind"]) == ("", "Messages", "slack")
    named = ("--id-header", "x-delivery-id", "--timestamp-header", "x-signature")
    cli(*edit, "--webhook", "hmac", "--secret", "OTHER", "--header", "x-signature", *named)
    asked = [list(one.update_mask.paths) for one in attached.asked["UpdateTrigger"]]
    assert asked == [["input", "filter"], ["verifier"]]
    signed = "signed in x-signature, with the time in x-signature, named in x-delivery-id"
    assert signed in " ".join(cli("trigger", "show", "helper", "on-message").out.split())
    verifier = attached.asked["UpdateTrigger"][-1].trigger.verifier
    assert (verifier.id_header, verifier.timestamp_header) == ("x-delivery-id", "x-signature")
    for wrong in ((), ("--secret", "OTHER"), ("--id-header", "x-id")):
        assert cli(*edit, *wrong).code == 2
    cli("trigger", "create", "helper", "daily", "--schedule", "0 9 * * *", "--action", "weather-lookup.get-weather")
    said = cli("trigger", "edit", "helper", "daily", "--schedule", "0 7 * * mon-fri", "--zone", "Europe/Rome").out
    assert "0 7 * * mon-fri Europe/Rome" in said


def test_a_trigger_is_paused_resumed_and_removed(cli: Run, attached: World) -> None:
    cli(*SLACK)
    assert "trigger on-message is paused" in cli("trigger", "pause", "helper", "on-message").out
    assert "trigger on-message is active" in cli("trigger", "resume", "helper", "on-message").out
    assert cli("trigger", "delete", "helper", "on-message", "--json").json == {"trigger": NAME}
    assert cli("trigger", "show", "helper", "on-message").code == 1


def test_what_came_is_listed_and_replayed(cli: Run, attached: World) -> None:
    cli(*SLACK)
    attached.deliveries = [
        trigger_pb2.Delivery(
            name=f"{NAME}/deliveries/019c-1", state=trigger_pb2.DELIVERY_STATE_REFUSED, reason="SIGNATURE_WRONG"
        )
    ]
    said = cli("trigger", "history", "helper", "on-message").table
    assert "refused" in said
    assert "SIGNATURE_WRONG" in said
    cli("trigger", "replay", "helper", "on-message", "019c-1", "--release", "weather-lookup@2.0.0")
    asked = attached.asked["ReplayDelivery"][0]
    assert asked.name == f"{NAME}/deliveries/019c-1"
    assert asked.release == "orgs/acme/capabilities/weather-lookup/releases/2.0.0"
