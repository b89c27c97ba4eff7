"""Agents and what they use: `agent`, `attach`, `attachment`, `detach`, `tools`."""

from typing import Annotated, Any

import typer
from rich.console import Group

from hardpoint_cli.arguments import Agent, Installation
from hardpoint_cli.panels import AGENTS
from hardpoint_cli.screen import done, next_steps, table, warn
from hardpoint_cli.shell import Answer, command

LOWEST, HIGHEST = -1000, 1000
"""Of priorities, as the contract has them."""


def add(app: typer.Typer) -> None:
    """Add the commands."""
    agent = typer.Typer(help="The programs with a model that call actions.")
    app.add_typer(agent, name="agent", rich_help_panel=AGENTS, no_args_is_help=True)
    command(agent, "create", examples=['hardpoint agent create helper --name "Helper"'])(create)
    command(agent, "list", examples=["hardpoint agent list"])(list_agents)
    command(agent, "pause", examples=["hardpoint agent pause helper"])(pause)
    command(agent, "resume", examples=["hardpoint agent resume helper"])(resume)
    command(agent, "delete", examples=["hardpoint agent delete helper"])(delete)
    attachment = typer.Typer(help="What is switched on for an agent, and off for a while.")
    app.add_typer(attachment, name="attachment", rich_help_panel=AGENTS, no_args_is_help=True)
    command(attachment, "list", examples=["hardpoint attachment list helper"])(list_attachments)
    command(attachment, "enable", examples=["hardpoint attachment enable helper weather-lookup"])(enable)
    command(attachment, "disable", examples=["hardpoint attachment disable helper weather-lookup"])(disable)
    command(
        attachment,
        "priority",
        examples=["hardpoint attachment priority helper weather-lookup 10"],
        context_settings={"ignore_unknown_options": True},  # a number below zero is no option
    )(prioritise)
    asked = ["hardpoint attachment approval helper crm note", "hardpoint attachment approval helper crm --none"]
    command(attachment, "approval", examples=asked)(approval)
    attached = [
        "hardpoint attach helper weather-lookup",
        "hardpoint attach helper ocr",
        "hardpoint attach helper email --require-approval send",
    ]
    command(app, "attach", panel=AGENTS, examples=attached)(attach)
    command(app, "detach", panel=AGENTS, examples=["hardpoint detach helper weather-lookup"])(detach)
    command(app, "tools", panel=AGENTS, examples=["hardpoint tools helper"])(tools)


async def create(
    agent: Annotated[str, typer.Argument(help="Its id, such as helper.", show_default=False)],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> Answer:
    """Make an agent."""
    from hardpoint.runtime.v1 import agent_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        made = await client.agents.CreateAgent(
            agent_pb2.CreateAgentRequest(
                parent=client.org,
                agent_id=agent,
                agent=agent_pb2.Agent(display_name=name, description=description),
                request_id=new_request_id(),
            )
        )
        steps = next_steps(f"hardpoint attach {agent} INSTALLATION")
        return Answer({"agent": document(made)}, Group(done(f"agent {agent} is there"), steps))


async def list_agents() -> Answer:
    """List the org's agents."""
    from hardpoint.runtime.v1 import agent_pb2
    from hardpoint_cli.documents import document, moment, word
    from hardpoint_cli.names import short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        found = await collect(client.agents.ListAgents, agent_pb2.ListAgentsRequest(parent=client.org), "agents")
        rows = [
            (
                short(one.name, client.org),
                word(one, "state"),
                one.display_name,
                one.description,
                moment(one.create_time),
            )
            for one in found
        ]
        shown = table(
            ["agent", "state", "name", "description", "made at"], rows, "No agents. Make one: hardpoint agent create"
        )
        return Answer({"agents": [document(one) for one in found]}, shown)


async def pause(agent: Agent) -> Answer:
    """Refuse an agent's calls until it is resumed."""
    from hardpoint.runtime.v1 import agent_pb2

    return await _moved(agent, "PauseAgent", agent_pb2.PauseAgentRequest)


async def resume(agent: Agent) -> Answer:
    """Let a paused agent call again."""
    from hardpoint.runtime.v1 import agent_pb2

    return await _moved(agent, "ResumeAgent", agent_pb2.ResumeAgentRequest)


async def delete(agent: Agent) -> Answer:
    """Remove an agent with its attachments; installations and the records of its runs stay."""
    from hardpoint.runtime.v1 import agent_pb2
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = client.named("agents", agent)
        await client.agents.DeleteAgent(agent_pb2.DeleteAgentRequest(name=name, request_id=new_request_id()))
        return Answer({"agent": name}, done(f"agent {agent} is gone"))


async def list_attachments(agent: Agent) -> Answer:
    """List what is attached to an agent, enabled or not, and what came of its calls."""
    from hardpoint.runtime.v1 import agent_pb2
    from hardpoint_cli.documents import document, duration, moment
    from hardpoint_cli.names import short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = agent_pb2.ListAttachmentsRequest(parent=client.named("agents", agent))
        found = await collect(client.agents.ListAttachments, request, "attachments")
        rows = [
            (
                one.name.rpartition("/")[2],
                "yes" if one.enabled else "no",
                str(one.priority),
                ", ".join(one.require_approval),
                short(one.release, client.org),
                str(one.counters.execution_count),
                str(one.counters.error_count),
                f"{one.counters.success_rate:.0%}".replace("%", " %") if one.counters.execution_count else "",
                duration(one.counters.average_execution_time_ms) if one.counters.execution_count else "",
                moment(one.counters.last_used) or "never",
            )
            for one in found
        ]
        empty = f"{agent} can use nothing. Attach something: hardpoint attach {agent} INSTALLATION"
        used = ["calls", "failed", "success", "on average", "last used"]
        shown = table(["installation", "enabled", "priority", "to approve", "release", *used], rows, empty)
        return Answer({"attachments": [document(one) for one in found]}, shown)


async def enable(agent: Agent, installation: Installation) -> Answer:
    """Switch an attachment on again, with the priority it had."""
    return await _changed(agent, installation, f"{agent} can use {installation} again", enabled=True)


async def disable(agent: Agent, installation: Installation) -> Answer:
    """Switch an attachment off and keep it; a running call ends normally, the next is refused."""
    return await _changed(agent, installation, f"{agent} cannot use {installation} for now", enabled=False)


async def prioritise(
    agent: Agent,
    installation: Installation,
    priority: Annotated[
        int, typer.Argument(min=LOWEST, max=HIGHEST, help="Of two that offer one action, the higher is called.")
    ],
) -> Answer:
    """Change which attachment is called where several offer the same action."""
    return await _changed(agent, installation, f"{installation} has priority {priority}", priority=priority)


async def approval(
    agent: Agent,
    installation: Installation,
    actions: Annotated[
        list[str] | None, typer.Argument(metavar="ACTION", help="All of them: what is not named runs unasked.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Have nothing approved any more.")] = False,
) -> Answer:
    """Say which actions somebody has to approve each time before they run; calls of them wait as runs."""
    if bool(actions) is none:
        raise typer.BadParameter("name the actions to approve, or say --none")
    asked = _ids(actions or [])
    words = f"somebody approves each call of {', '.join(asked)}" if asked else "nothing has to be approved"
    return await _changed(agent, installation, f"{installation}: {words}", require_approval=asked)


async def attach(
    agent: Agent,
    installation: Installation,
    priority: Annotated[
        int, typer.Option(min=LOWEST, max=HIGHEST, help="Of two that offer one action, the higher is called.")
    ] = 0,
    require_approval: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION", help="One that somebody has to approve each time; may be repeated."),
    ] = None,
) -> Answer:
    """Switch an installation on for an agent: callable at once, without a restart.

    The standard capabilities (`ai`, `calendar`, `crm`, `database`, `email`, `files`, `knowledge`, `notify`,
    `ocr`, `validate`) are installed already.
    """
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        asked = _ids(require_approval or [])
        made = await client.attach(agent, installation, priority=priority, require_approval=asked)
        mine = [tool.name for tool in await client.tools(agent) if tool.installation == made.installation]
        if mine:
            said = [done(f"{agent} can use {installation}: {', '.join(mine)}")]
            steps = next_steps(*(f"hardpoint call {agent} {name}" for name in mine[:3]))
        else:
            said = [done(f"{installation} is attached to {agent}")]
            warn("its actions cannot be called now: the agent is paused, or others offer them with equal priority")
            steps = next_steps(f"hardpoint attachment list {agent}")
        if made.require_approval:
            said.append(done(f"somebody approves each call of {', '.join(made.require_approval)}"))
        return Answer({"attachment": document(made)}, Group(*said, steps))


async def detach(agent: Agent, installation: Installation) -> Answer:
    """Switch an installation off for an agent; a running call ends normally, the next is refused."""
    from hardpoint_cli.session import connect

    async with connect() as client:
        await client.detach(agent, installation)
        return Answer({"agent": agent, "installation": installation}, done(f"{agent} can no longer use {installation}"))


async def tools(agent: Agent) -> Answer:
    """List what an agent may call now: exactly what its model sees."""
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.names import short
    from hardpoint_cli.schemas import signature
    from hardpoint_cli.session import connect

    async with connect() as client:
        found = await client.tools(agent)
        rows = [
            (
                one.name,
                signature(one.input_schema),
                word(one, "effect"),
                short(one.release, client.org),
                one.description,
            )
            for one in found
        ]
        empty = f"{agent} can call nothing. Attach something: hardpoint attach {agent} INSTALLATION"
        shown = table(["action", "input", "effect", "release", "what it does"], rows, empty)
        return Answer({"tools": [document(one) for one in found]}, shown)


def _ids(actions: list[str]) -> list[str]:
    """Actions within their capability, which a person may name as `hardpoint tools` does."""
    return [action.rpartition(".")[2] for action in actions]


async def _moved(agent: str, method: str, request: Any) -> Answer:
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        move = getattr(client.agents, method)
        moved = await move(request(name=client.named("agents", agent), request_id=new_request_id()))
        return Answer({"agent": document(moved)}, done(f"agent {agent} is {word(moved, 'state')}"))


async def _changed(agent: str, installation: str, words: str, **fields: Any) -> Answer:
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.runtime.v1 import agent_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = f"{client.named('agents', agent)}/attachments/{installation.rpartition('/')[2]}"
        request = agent_pb2.UpdateAttachmentRequest(
            attachment=agent_pb2.Attachment(name=name, **fields),
            update_mask=FieldMask(paths=[*fields]),
            request_id=new_request_id(),
        )
        changed = await client.agents.UpdateAttachment(request)
        return Answer({"attachment": document(changed)}, done(words))
