"""Agents, attachments, tools and calls from the command line."""

import json

import pytest

from cli.conftest import Run
from cli.fakes import World
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_kit.documents import from_struct, to_struct
from hardpoint_kit.errors import ActionFailed


def test_an_agent_is_made_paused_and_resumed(cli: Run, world: World) -> None:
    made = cli("agent", "create", "helper", "--name", "Helper", "--json").json["agent"]
    assert made["name"] == "orgs/acme/agents/helper"
    assert made["display_name"] == "Helper"
    assert cli("agent", "pause", "helper", "--json").json["agent"]["state"] == "AGENT_STATE_PAUSED"
    assert "agent helper is active" in cli("agent", "resume", "helper").out
    assert [agent["name"] for agent in cli("agent", "list", "--json").json["agents"]] == ["orgs/acme/agents/helper"]


def test_an_id_that_is_none_is_told_in_words(cli: Run, world: World) -> None:
    said = cli("agent", "create", "He lper")
    assert said.code == 1
    assert "agent_id: must be 1 to 63 lower case letters" in said.err
    assert "regex" not in said.err


def test_lists_print_short_names(cli: Run, attached: World) -> None:
    said = cli("agent", "list").out
    assert "helper" in said
    assert "orgs/acme" not in said
    said = cli("tools", "helper").table
    assert "weather-lookup.get-weather | location: string, days?: integer | read | weather-lookup@1.0.0" in said


def test_attaching_says_what_can_be_called(cli: Run, published: World) -> None:
    cli("agent", "create", "helper")
    cli("install", "weather-lookup", "--grant-all")
    said = cli("attach", "helper", "weather-lookup", "--priority", "3").out
    assert "helper can use weather-lookup: weather-lookup.get-weather" in said
    assert "$ hardpoint call helper weather-lookup.get-weather" in said
    assert published.asked["AttachCapability"][0].priority == 3


def test_attaching_what_cannot_be_called_says_so(cli: Run, attached: World) -> None:
    cli("install", "weather-lookup", "--id", "second", "--grant-all")
    said = cli("attach", "helper", "second")
    assert "helper can use" not in said.out
    assert "second is attached to helper" in said.out
    assert "its actions cannot be called now" in said.err
    assert "$ hardpoint attachment list helper" in said.out


@pytest.mark.parametrize("priority", ["1001", "-1001", "99999999999"])
def test_a_priority_beyond_the_bounds_is_wrong_usage(priority: str, cli: Run, attached: World) -> None:
    for command in (["attach", "helper", "weather-lookup", "--priority"], ["attachment", "priority", "helper", "x"]):
        said = cli(*command, priority)
        assert (said.code, "1000" in said.err) == (2, True), said.err


def test_detaching(cli: Run, attached: World) -> None:
    assert cli("detach", "helper", "weather-lookup", "--json").json == {
        "agent": "helper",
        "installation": "weather-lookup",
    }
    assert cli("tools", "helper", "--json").json == {"tools": []}
    assert "helper can call nothing" in cli("tools", "helper").out


def test_an_agent_is_deleted(cli: Run, world: World) -> None:
    cli("agent", "create", "helper")
    assert cli("agent", "delete", "helper", "--json").json == {"agent": "orgs/acme/agents/helper"}
    assert cli("agent", "list", "--json").json == {"agents": []}
    said = cli("agent", "delete", "helper", "--json")
    assert (said.code, said.json["error"]["reason"]) == (1, "NOT_FOUND")
    assert all(request.request_id for request in world.asked["DeleteAgent"])


def test_an_attachment_is_disabled_and_enabled_and_nothing_else_of_it_changes(cli: Run, attached: World) -> None:
    cli("attachment", "priority", "helper", "weather-lookup", "3")
    attached.asked.clear()
    said = cli("attachment", "disable", "helper", "weather-lookup", "--json").json["attachment"]
    assert (said["enabled"], said["priority"]) == (False, 3)
    assert list(attached.asked["UpdateAttachment"][0].update_mask.paths) == ["enabled"]
    assert "weather-lookup | no | 3 | weather-lookup@1.0.0 | 0" in cli("attachment", "list", "helper").table
    assert "helper can use weather-lookup again" in cli("attachment", "enable", "helper", "weather-lookup").out
    assert cli("attachment", "list", "helper", "--json").json["attachments"][0]["enabled"] is True
    assert cli("attachment", "enable", "helper", "other").code == 1


def test_a_priority_is_changed_and_nothing_else(cli: Run, attached: World) -> None:
    assert "priority 7" in cli("attachment", "priority", "helper", "weather-lookup", "7").out
    assert list(attached.asked["UpdateAttachment"][0].update_mask.paths) == ["priority"]
    assert cli("attachment", "list", "helper", "--json").json["attachments"][0]["priority"] == 7
    cli("attachment", "priority", "helper", "weather-lookup", "-2")
    assert cli("attachment", "list", "helper", "--json").json["attachments"][0]["priority"] == -2


def test_actions_are_approved_by_somebody_from_the_first_call_on_until_it_is_ended(cli: Run, attached: World) -> None:
    cli("detach", "helper", "weather-lookup")
    said = cli("attach", "helper", "weather-lookup", "--require-approval", "weather-lookup.get-weather").out
    assert "somebody approves each call of get-weather" in said
    assert list(attached.asked["AttachCapability"][-1].require_approval) == ["get-weather"]
    assert "weather-lookup | yes | 0 | get-weather | weather-lookup@1.0.0" in cli("attachment", "list", "helper").table
    ended = cli("attachment", "approval", "helper", "weather-lookup", "--none", "--json").json["attachment"]
    assert not ended.get("require_approval")
    assert list(attached.asked["UpdateAttachment"][0].update_mask.paths) == ["require_approval"]
    cli("attachment", "approval", "helper", "weather-lookup", "get-weather")
    assert cli("attachment", "list", "helper", "--json").json["attachments"][0]["require_approval"] == ["get-weather"]


def test_approvals_do_not_end_by_forgetting_to_name_them(cli: Run, attached: World) -> None:
    for arguments in ([], ["get-weather", "--none"]):
        assert "say --none" in cli("attachment", "approval", "helper", "weather-lookup", *arguments).err
    assert "UpdateAttachment" not in attached.asked


def test_what_an_attachment_was_used_for_is_shown(cli: Run, attached: World) -> None:
    (one,) = attached.attachments.values()
    one.counters.execution_count, one.counters.error_count, one.counters.success_rate = 12, 3, 0.75
    one.counters.average_execution_time_ms = 1234.0
    one.counters.last_used.FromSeconds(1_767_225_600)
    shown = cli("attachment", "list", "helper").table
    assert "weather-lookup | yes | 0 | weather-lookup@1.0.0 | 12 | 3 | 75 % | 1.2 s | 202" in shown


def test_a_call_reads_values_as_the_schema_says(cli: Run, attached: World) -> None:
    said = cli("call", "helper", "weather-lookup.get-weather", "location=7", "days=3", "--json")
    assert from_struct(attached.asked["CallAction"][0].input) == {"location": "7", "days": 3}
    assert said.json["output"] == {"temperature": 72, "condition": "Sunny"}
    assert said.json["run"] == "orgs/acme/runs/run-1"


def test_a_call_shows_the_output_alone_on_stdout(cli: Run, attached: World) -> None:
    said = cli("call", "helper", "get-weather", "location=Rome")
    assert json.loads(said.out) == {"temperature": 72, "condition": "Sunny"}
    assert "weather-lookup@1.0.0, 12 ms, run run-1" in said.err
    assert attached.asked["CallAction"][0].action == "weather-lookup.get-weather"


@pytest.mark.parametrize(("argument", "stdin"), [('{"location": "Rome"}', None), ("-", '{"location": "Rome"}')])
def test_a_call_takes_the_whole_input_as_json(argument: str, stdin: str | None, cli: Run, attached: World) -> None:
    assert cli("call", "helper", "weather-lookup.get-weather", "--input", argument, stdin=stdin).code == 0
    assert from_struct(attached.asked["CallAction"][0].input) == {"location": "Rome"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["location"], "not of the form key=value"),
        (['{"location": "Rome"}'], "an input as JSON goes to --input"),
        (['{"location": '], "an input as JSON goes to --input"),
        (["days=soon"], "days must be an integer"),
        (["days=1.5"], "days must be an integer"),
        (["days=true"], "days must be an integer"),
        (["--input", "{"], "--input is not JSON"),
        (["--input", "[1]"], "--input must be a JSON object"),
        (["--input", '{"a": NaN}'], "--input is not JSON"),
        (["--input", '{"a": 1e999}'], "a number is too large"),
        (["--input", f'{{"a": {"9" * 5000}}}'], "a number is too large"),
        (["--input", "[" * 2000], "nested too deeply"),
        (["--input", '{"a":' * 90 + "1" + "}" * 90], "nested too deeply"),
        (["--input", '{"a": "\\ud800"}'], "half a character"),
        (["location=\udcff"], "an argument is not text in UTF-8"),
        (["a=1", "--input", "{}"], "not both"),
    ],
)
def test_a_call_that_is_typed_wrongly_is_not_made(
    arguments: list[str], complaint: str, cli: Run, attached: World
) -> None:
    said = cli("call", "helper", "weather-lookup.get-weather", *arguments, "--json")
    assert said.code == 2
    assert complaint in said.json["error"]["message"]
    assert not attached.asked["CallAction"]


@pytest.mark.parametrize("name", ["x);process.exit(1)//", "__proto__", "weather-lookup.gone"])
def test_what_an_action_may_be_called_is_the_servers_to_say(name: str, cli: Run, attached: World) -> None:
    assert cli("call", "helper", name, "location=Rome").code == 0
    assert attached.asked["CallAction"][0].action == name


def test_a_dry_run_shows_what_would_be_written_and_the_digest(cli: Run, attached: World) -> None:
    body = {"sha256": "5a", "bytes": 14, "text": '{"for": "Ada"}'}
    long = {"sha256": "5b", "bytes": 9000}
    told = {"headers": {"authorization": "Bearer secret:API_KEY"}, "query": "", "body": body, "html": long}
    effect = manifest_pb2.PlannedEffect(operation="POST", target="api.test/orders", arguments=to_struct(told))
    attached.plan = manifest_pb2.EffectPlan(digest="sha256:4711", effects=[effect, effect])
    attached.plan.effects[1].path = "shop.order"
    said = cli("call", "helper", "get-weather", "location=Rome", "--dry-run")
    assert said.out.splitlines() == [
        "1. POST api.test/orders",
        '     body: {"for": "Ada"}',
        "     headers: authorization: Bearer secret:API_KEY",
        "     html: 9000 bytes, sha256 5b",
        "2. shop.order: POST api.test/orders",
        '     body: {"for": "Ada"}',
        "     headers: authorization: Bearer secret:API_KEY",
        "     html: 9000 bytes, sha256 5b",
        "plan sha256:4711",
    ]
    attached.plan = manifest_pb2.EffectPlan(incomplete=True, reason="USER_ERROR", message="no id", place="a.py:7")
    said = cli("call", "helper", "get-weather", "location=Rome", "--dry-run")
    assert said.out.splitlines() == ["nothing would be written", "incomplete from here: USER_ERROR no id (a.py:7)"]
    cli("call", "helper", "get-weather", "location=Rome", "--expect-plan", "sha256:4711")
    asked = [(request.dry_run, request.expect_plan) for request in attached.asked["CallAction"]]
    assert asked == [(True, ""), (True, ""), (False, "sha256:4711")]


def test_a_failed_call_says_why_where_and_what_to_do(cli: Run, attached: World) -> None:
    attached.errors["CallAction"] = ActionFailed(
        "data.temp is not in the answer",
        reason="MAPPING_MISSING",
        place="response_mapping.temperature",
        fix="correct the path",
        run="orgs/acme/runs/run-9",
    )
    said = cli("call", "helper", "get-weather", "location=Rome")
    assert said.code == 1
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: data.temp is not in the answer  [MAPPING_MISSING]",
        "  at:    response_mapping.temperature",
        "  fix:   correct the path",
        "  run:   run-9",
    ]
    said = cli("call", "helper", "get-weather", "location=Rome", "--json")
    assert said.json["error"]["reason"] == "MAPPING_MISSING"
    assert said.json["error"]["metadata"] == {"run": "orgs/acme/runs/run-9"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "nickname=Ada"], "fix:   write any of id, name, email"),
        (["--conversation", '{"messages": 3}'], "context.conversation: has another shape"),
        (["--conversation", '{"messages": [{"role": 1}]}'], '"messages": [{"role": "user", "text": ".."}]'),
    ],
)
def test_what_an_agent_knows_has_a_shape(arguments: list[str], said: str, cli: Run, attached: World) -> None:
    refused = cli("call", "helper", "get-weather", "location=Rome", *arguments)
    assert (refused.code, said in refused.err) == (1, True), refused.err
    assert "CallAction" not in attached.asked
