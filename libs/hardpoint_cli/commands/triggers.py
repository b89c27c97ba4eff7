"""What starts runs without an agent asking: `trigger create`, `edit`, `list`, `show`, `history`, `replay` and more."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli.arguments import Agent
from hardpoint_cli.panels import AGENTS
from hardpoint_cli.screen import done, fields, next_steps, table
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.runtime.v1 import trigger_pb2

Name = Annotated[str, typer.Argument(help="The trigger's id.", show_default=False)]
Sender = Literal["slack", "github", "standard-webhooks", "hmac", "none"]
_ID_HEADER = "Of hmac: the header with the sender's own id of a delivery."
_TIMESTAMP_HEADER = "Of hmac: the header with the time, signed before a full stop and the body; may be --header itself."
_NEVER = "never: every delivery is refused, since nothing proves it"
_STYLES = {"delivered": "green", "dead": "red", "refused": "red", "filtered": "dim", "duplicate": "dim"}


def add(app: typer.Typer) -> None:
    """Add the commands."""
    trigger = typer.Typer(help="What starts runs without the agent asking: webhooks, schedules, uploads.")
    app.add_typer(trigger, name="trigger", rich_help_panel=AGENTS, no_args_is_help=True)
    made = [
        "hardpoint trigger create helper on-message --webhook slack --secret SIGNING_SECRET"
        ' --action slack-integration.send-message --input \'{"channel": "C1", "message": "${event.event.text}"}\'',
        "hardpoint trigger create helper on-failure --on run.failed --filter 'event.run.agent != \"helper\"'"
        ' --action notify.admin --input \'{"message": "${event.run.name}: ${event.run.message}"}\'',
        "hardpoint trigger create helper daily --schedule '0 9 * * mon-fri' --zone Europe/Berlin --action report.send",
        "hardpoint trigger create helper invoices --of invoice-processor.file_upload",
    ]
    command(trigger, "create", examples=made)(create)
    changed = [
        "hardpoint trigger edit helper daily --schedule '0 7 * * mon-fri' --zone Europe/Berlin",
        "hardpoint trigger edit helper on-message --filter ''",
    ]
    command(trigger, "edit", examples=changed)(edit)
    command(trigger, "secret", examples=["hardpoint trigger secret helper on-message"])(secret)
    command(trigger, "list", examples=["hardpoint trigger list helper"])(list_triggers)
    command(trigger, "show", examples=["hardpoint trigger show helper on-message"])(show)
    command(trigger, "pause", examples=["hardpoint trigger pause helper on-message"])(pause)
    command(trigger, "resume", examples=["hardpoint trigger resume helper on-message"])(resume)
    command(trigger, "delete", examples=["hardpoint trigger delete helper on-message"])(delete)
    command(trigger, "history", examples=["hardpoint trigger history helper on-message"])(history)
    command(trigger, "replay", examples=["hardpoint trigger replay helper on-message 019ca9450a80-656d19763dfe"])(
        replay
    )


async def create(
    agent: Agent,
    trigger: Annotated[str, typer.Argument(help="Its id, such as on-message.", show_default=False)],
    of: Annotated[str, typer.Option("--of", metavar="CAPABILITY.TRIGGER", help="One that a release declares.")] = "",
    action: Annotated[str, typer.Option(help="What it runs: capability.action.")] = "",
    input: Annotated[str, typer.Option(help="The action's input: JSON, with ${event...} in it.")] = "",
    filter: Annotated[str, typer.Option(help="What events must fulfil: an expression over event.")] = "",
    webhook: Annotated[Sender | None, typer.Option(help="A webhook, and how its sender signs.")] = None,
    secret: Annotated[str, typer.Option(metavar="KEY", help="The key of the signing secret.")] = "",
    header: Annotated[str, typer.Option(help="Of hmac: the header with the signature.")] = "",
    id_header: Annotated[str, typer.Option(help=_ID_HEADER)] = "",
    timestamp_header: Annotated[str, typer.Option(help=_TIMESTAMP_HEADER)] = "",
    allow_unsigned: Annotated[bool, typer.Option(help="With none: believe whoever knows the address.")] = False,
    schedule: Annotated[str, typer.Option(help='Five fields of cron: "0 9 * * mon-fri".')] = "",
    zone: Annotated[str, typer.Option(help="The schedule's time zone, UTC without.")] = "",
    on_upload: Annotated[bool, typer.Option(help="Every file that is uploaded to the org.")] = False,
    on: Annotated[
        str, typer.Option(metavar="EVENT", help="What happens in the org: run.finished, run.failed, run.waiting.")
    ] = "",
    order_by: Annotated[
        str, typer.Option(help="Events for which this expression gives the same run one after the other.")
    ] = "",
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
) -> Answer:
    """Make a trigger of an action that the agent may call."""
    from hardpoint.manifest.v1 import manifest_pb2
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.inputs import whole
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id
    from hardpoint_kit.documents import to_struct

    kinds = {
        trigger_pb2.TRIGGER_TYPE_WEBHOOK: webhook is not None,
        trigger_pb2.TRIGGER_TYPE_SCHEDULE: bool(schedule),
        trigger_pb2.TRIGGER_TYPE_EVENT: on_upload or bool(on),
    }
    chosen = [kind for kind, said in kinds.items() if said]
    if len(chosen) > 1 or (on_upload and on) or (not chosen and not of):
        raise typer.BadParameter("say one of --webhook, --schedule, --on-upload, --on, or --of what a release declares")
    signed = {"secret": secret, "header": header, "id_header": id_header, "timestamp_header": timestamp_header}
    asked = trigger_pb2.Trigger(
        display_name=name,
        type=chosen[0] if chosen else trigger_pb2.TRIGGER_TYPE_UNSPECIFIED,
        action=action,
        input=to_struct(whole(input)) if input else None,
        filter=filter,
        declared=of,
        verifier=manifest_pb2.Verifier(kind=webhook, **signed) if webhook else None,
        allow_unsigned=allow_unsigned,
        schedule=schedule,
        time_zone=zone,
        event="file.uploaded" if on_upload else on,
        order_by=order_by,
    )
    async with connect() as client:
        request = trigger_pb2.CreateTriggerRequest(
            parent=client.named("agents", agent), trigger_id=trigger, trigger=asked, request_id=new_request_id()
        )
        made = await client.triggers.CreateTrigger(request)
        shown: list[RenderableType] = [done(f"trigger {trigger} runs {made.action}"), fields(_about(made))]
        shown.append(next_steps(*_next(made, agent, trigger)))
        return Answer({"trigger": document(made)}, Group(*shown))


async def edit(
    agent: Agent,
    trigger: Name,
    input: Annotated[str | None, typer.Option(help="The action's input: JSON, with ${event...} in it.")] = None,
    filter: Annotated[str | None, typer.Option(help="What events must fulfil: an expression over event.")] = None,
    webhook: Annotated[Sender | None, typer.Option(help="How a webhook's sender signs.")] = None,
    secret: Annotated[str, typer.Option(metavar="KEY", help="With --webhook: the key of the signing secret.")] = "",
    header: Annotated[str, typer.Option(help="With --webhook hmac: the header with the signature.")] = "",
    id_header: Annotated[str, typer.Option(help=_ID_HEADER)] = "",
    timestamp_header: Annotated[str, typer.Option(help=_TIMESTAMP_HEADER)] = "",
    allow_unsigned: Annotated[
        bool | None, typer.Option(help="With none: believe whoever knows the address, or not.", show_default=False)
    ] = None,
    schedule: Annotated[str | None, typer.Option(help='Five fields of cron: "0 9 * * mon-fri".')] = None,
    zone: Annotated[str | None, typer.Option(help="The schedule's time zone, UTC where empty.")] = None,
    order_by: Annotated[
        str | None, typer.Option(help="Events for which this expression gives the same run one after the other.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> Answer:
    """Change what is named here and nothing else of a trigger; its address, its state and its history stay.

    An empty text takes away what was there.
    """
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.manifest.v1 import manifest_pb2
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.inputs import whole
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id
    from hardpoint_kit.documents import to_struct

    signed = {"secret": secret, "header": header, "id_header": id_header, "timestamp_header": timestamp_header}
    if any(signed.values()) and webhook is None:
        raise typer.BadParameter("--secret and the headers are said with --webhook")
    asked = {
        "display_name": name,
        "input": None if input is None else to_struct(whole(input) if input else {}),
        "filter": filter,
        "verifier": manifest_pb2.Verifier(kind=webhook, **signed) if webhook else None,
        "allow_unsigned": allow_unsigned,
        "schedule": schedule,
        "time_zone": zone,
        "order_by": order_by,
    }
    said: dict[str, Any] = {field: value for field, value in asked.items() if value is not None}
    if not said:
        raise typer.BadParameter("say what to change, such as --schedule, --filter or --input")
    async with connect() as client:
        request = trigger_pb2.UpdateTriggerRequest(
            trigger=trigger_pb2.Trigger(name=_named(client, agent, trigger), **said),
            update_mask=FieldMask(paths=[*said]),
            request_id=new_request_id(),
        )
        changed = await client.triggers.UpdateTrigger(request)
        shown = Group(done(f"trigger {trigger} is changed"), fields(_about(changed)))
        return Answer({"trigger": document(changed)}, shown)


async def secret(agent: Agent, trigger: Name) -> Answer:
    """Give a webhook the secret that its sender signs with; it is asked for, or read from stdin."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.prompts import hidden
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = _named(client, agent, trigger)
        found = await client.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=name))
        key, installation = found.verifier.secret, found.installation.rpartition("/")[2]
        if not key:
            raise typer.BadParameter(f"{trigger} has no verifier that a secret is for")
        value = hidden(f"signing secret of {trigger}")
        if not value:
            raise typer.BadParameter("the secret is empty")
        await client.set_secret(installation, key, value)
        return Answer({"installation": installation, "key": key}, done(f"{key} of {installation} is set"))


async def list_triggers(agent: Agent) -> Answer:
    """List an agent's triggers."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = trigger_pb2.ListTriggersRequest(parent=client.named("agents", agent))
        found = await collect(client.triggers.ListTriggers, request, "triggers")
        rows = [
            (one.name.rpartition("/")[2], word(one, "state"), word(one, "type"), one.action, _comes(one))
            for one in found
        ]
        empty = f"{agent} has no triggers. Make one: hardpoint trigger create {agent} ID"
        shown = table(["trigger", "state", "type", "runs", "when"], rows, empty)
        return Answer({"triggers": [document(one) for one in found]}, shown)


async def show(agent: Agent, trigger: Name) -> Answer:
    """Show a trigger: what it runs and when, and where a webhook is posted to."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        name = _named(client, agent, trigger)
        found = await client.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=name))
        return Answer({"trigger": document(found)}, fields(_about(found)))


async def pause(agent: Agent, trigger: Name) -> Answer:
    """Accept nothing until it is resumed; what was accepted still runs."""
    from hardpoint.runtime.v1 import trigger_pb2

    return await _moved(agent, trigger, "PauseTrigger", trigger_pb2.PauseTriggerRequest)


async def resume(agent: Agent, trigger: Name) -> Answer:
    """Accept events again; a schedule goes on with its next time."""
    from hardpoint.runtime.v1 import trigger_pb2

    return await _moved(agent, trigger, "ResumeTrigger", trigger_pb2.ResumeTriggerRequest)


async def delete(agent: Agent, trigger: Name) -> Answer:
    """Remove a trigger with its history; its runs stay."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = _named(client, agent, trigger)
        await client.triggers.DeleteTrigger(trigger_pb2.DeleteTriggerRequest(name=name, request_id=new_request_id()))
        return Answer({"trigger": name}, done(f"trigger {trigger} is gone"))


async def history(
    agent: Agent,
    trigger: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 20,
) -> Answer:
    """List what came to a trigger and what became of it."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli.documents import document, moment, word
    from hardpoint_cli.names import short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = trigger_pb2.ListDeliveriesRequest(parent=_named(client, agent, trigger))
        found = await collect(client.triggers.ListDeliveries, request, "deliveries", limit)
        rows = [
            (
                one.name.rpartition("/")[2],
                moment(one.receive_time),
                Text(word(one, "state"), _STYLES.get(word(one, "state"), "")),
                one.provider_id,
                short(one.run, client.org),
                one.reason,
            )
            for one in found
        ]
        shown = table(["delivery", "came", "state", "sender's id", "run", "reason"], rows, "Nothing came.")
        return Answer({"deliveries": [document(one) for one in found]}, shown)


async def replay(
    agent: Agent,
    trigger: Name,
    delivery: Annotated[str, typer.Argument(help="From `trigger history`.", show_default=False)],
    release: Annotated[str, typer.Option(help="capability@version to run it with; the attached one without.")] = "",
) -> Answer:
    """Run a past event again, whatever the filter says."""
    from hardpoint.runtime.v1 import trigger_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        request = trigger_pb2.ReplayDeliveryRequest(
            name=f"{_named(client, agent, trigger)}/deliveries/{delivery.rpartition('/')[2]}",
            release=str(names.release(release, client.org)) if release else "",
            request_id=new_request_id(),
        )
        replayed = await client.triggers.ReplayDelivery(request)
        steps = next_steps(f"hardpoint trigger history {agent} {trigger}")
        return Answer({"delivery": document(replayed)}, Group(done(f"{delivery} runs again"), steps))


def _named(client: Any, agent: str, trigger: str) -> str:
    return f"{client.named('agents', agent)}/triggers/{trigger.rpartition('/')[2]}"


def _comes(trigger: "trigger_pb2.Trigger") -> str:
    from hardpoint_cli.documents import moment

    if trigger.schedule:
        return f"{trigger.schedule} {trigger.time_zone or 'UTC'}, next {moment(trigger.next_time)}"
    if trigger.event and not trigger.url:
        return trigger.event
    if trigger.verifier.kind == "none":
        return "unsigned" if trigger.allow_unsigned else _NEVER
    verifier = trigger.verifier
    if verifier.kind != "hmac":
        return f"signed as {verifier.kind} does"
    timed = f", with the time in {verifier.timestamp_header}" if verifier.timestamp_header else ""
    return f"signed in {verifier.header}{timed}" + (f", named in {verifier.id_header}" if verifier.id_header else "")


def _about(trigger: "trigger_pb2.Trigger") -> dict[str, RenderableType]:
    from hardpoint_cli.documents import word

    comes = _comes(trigger)
    about: dict[str, RenderableType] = {
        "trigger": trigger.name.rpartition("/")[2],
        "name": trigger.display_name,
        "state": word(trigger, "state"),
        "runs": trigger.action,
        "when": Text(comes, "red") if comes == _NEVER else comes,
        "filter": trigger.filter,
        "post to": trigger.url,
        "secret": trigger.verifier.secret and f"{trigger.verifier.secret} of {trigger.installation.rpartition('/')[2]}",
    }
    return {label: shown for label, shown in about.items() if shown}


def _next(trigger: "trigger_pb2.Trigger", agent: str, trigger_id: str) -> list[str]:
    signed = [f"hardpoint trigger secret {agent} {trigger_id}"] if trigger.verifier.secret else []
    return [*signed, f"hardpoint trigger history {agent} {trigger_id}"]


async def _moved(agent: str, trigger: str, method: str, request: Any) -> Answer:
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        move = getattr(client.triggers, method)
        moved = await move(request(name=_named(client, agent, trigger), request_id=new_request_id()))
        return Answer({"trigger": document(moved)}, done(f"trigger {trigger} is {word(moved, 'state')}"))
