"""What the organisation decides for all code that runs for it: `policy`."""

from typing import TYPE_CHECKING, Annotated

import typer

from hardpoint_cli.panels import AGENTS
from hardpoint_cli.screen import done, fields
from hardpoint_cli.shell import Answer, by_itself, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hardpoint.runtime.v1 import policy_pb2


def add(app: typer.Typer) -> None:
    """Add the commands."""
    policy = typer.Typer()
    by_itself(policy, examples=["hardpoint policy", "hardpoint policy --json"])(show)
    app.add_typer(policy, name="policy", rich_help_panel=AGENTS)
    command(policy, "set", examples=["hardpoint policy set --single-use", "hardpoint policy set --shared-runs"])(change)


async def show() -> Answer:
    """Show what the organisation decides for all code that runs for it; `set` changes it."""
    from hardpoint.runtime.v1 import policy_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    async with connect() as client:
        found = await client.policy.GetPolicy(policy_pb2.GetPolicyRequest(name=f"{client.org}/policy"))
        return Answer({"policy": document(found)}, _fields(found))


async def change(
    single_use: Annotated[
        bool | None, typer.Option("--single-use/--no-single-use", help="Give every call of code a jail of its own.")
    ] = None,
    shared_runs: Annotated[
        bool | None,
        typer.Option(
            "--shared-runs/--no-shared-runs",
            help="Let the calls of one run share a jail where a release says `isolation: run`.",
        ),
    ] = None,
) -> Answer:
    """Decide for all code of the organisation, from the next call on. For admins.

    With --single-use the engine QuickJS cannot be used, and nothing is shared whatever else is said.
    """
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.runtime.v1 import policy_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    said = {"single_use": single_use, "shared_runs": shared_runs}
    given = [name for name, value in said.items() if value is not None]
    if not given:
        raise typer.BadParameter("say what to change: --single-use, --no-single-use, --shared-runs, --no-shared-runs")
    async with connect() as client:
        request = policy_pb2.UpdatePolicyRequest(
            policy=policy_pb2.Policy(
                name=f"{client.org}/policy", single_use=bool(single_use), shared_runs=bool(shared_runs)
            ),
            update_mask=FieldMask(paths=given),
            request_id=new_request_id(),
        )
        changed = await client.policy.UpdatePolicy(request)
        return Answer({"policy": document(changed)}, done(_words(changed)))


def _words(policy: "policy_pb2.Policy") -> str:
    if policy.single_use:
        return "every call of code has a jail of its own"
    if policy.shared_runs:
        return "calls of one run may share a jail where a release asks for it"
    return "calls of code have jails as their release says, and share none"


def _fields(policy: "policy_pb2.Policy") -> "RenderableType":
    from hardpoint_cli.documents import moment

    return fields(
        {
            "single use": "on" if policy.single_use else "off",
            "shared runs": "on" if policy.shared_runs else "off",
            "which means": _words(policy),
            "changed": moment(policy.update_time) or "never",
        }
    )
