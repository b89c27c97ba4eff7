"""What installations are given: `secret` and `setting`."""

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Group

from hardpoint_cli.arguments import Installation
from hardpoint_cli.inputs import pairs, typed
from hardpoint_cli.panels import SET
from hardpoint_cli.prompts import hidden
from hardpoint_cli.screen import done, note, table, warn
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.manifest.v1 import manifest_pb2
    from hardpoint_client import Hardpoint

LEAST_HIDDEN: Final = 8
"""Characters from which on the executor finds a secret in every encoding that it knows (its `broker/scrub.py`)."""


def add(app: typer.Typer) -> None:
    """Add the commands."""
    secret = typer.Typer(help="Values that nobody may see: encrypted, and shown to no agent, log or author.")
    setting = typer.Typer(help="Values that anybody in the org may see.")
    app.add_typer(secret, name="secret", rich_help_panel=SET, no_args_is_help=True)
    app.add_typer(setting, name="setting", rich_help_panel=SET, no_args_is_help=True)
    command(
        secret,
        "set",
        examples=[
            "hardpoint secret set weather-lookup API_KEY",
            "hardpoint secret set weather-lookup API_KEY < key.txt",
        ],
        # Whatever follows the key is taken in, so that no message of the parser repeats a value.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(set_secret)
    command(secret, "list", examples=["hardpoint secret list"])(list_secrets)
    command(secret, "delete", examples=["hardpoint secret delete weather-lookup-api-key"])(delete_secret)
    command(setting, "set", examples=["hardpoint setting set weather-lookup UNITS=metric TIMEOUT=5"])(set_settings)
    command(setting, "unset", examples=["hardpoint setting unset weather-lookup TIMEOUT API_KEY"])(unset_settings)
    command(setting, "list", examples=["hardpoint setting list weather-lookup"])(list_settings)


async def set_secret(
    context: typer.Context,
    installation: Installation,
    key: Annotated[str, typer.Argument(help="The key, as the capability declares it.", show_default=False)],
) -> Answer:
    """Give an installation a secret. It is asked for without an echo, or read from what is piped in.

    Set again, it replaces the one before; calls use the new one at once.
    """
    from hardpoint_cli.session import connect
    from hardpoint_kit.names import check_setting_key

    if context.args or "=" in key:
        raise typer.BadParameter(
            "a secret is never an argument: your shell would keep it. Leave it out, and you are asked for it. "
            "Consider the one you typed as seen, and replace it."
        )
    async with connect() as client:
        declared = await _declared(client, installation)
        _require_declared(declared, installation, key, secret=True)
        check_setting_key(key)
        value = hidden(f"{key} of {installation}")
        if not value:
            raise typer.BadParameter("the secret is empty")
        await client.set_secret(installation, key, value)
        if len(value) < LEAST_HIDDEN:
            warn(f"it has fewer than {LEAST_HIDDEN} characters: answers that repeat it in an encoding will show it")
        return Answer({"installation": installation, "key": key}, done(f"{key} of {installation} is set"))


async def list_secrets() -> Answer:
    """List the org's secrets, without their values."""
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.documents import document, moment
    from hardpoint_cli.names import short
    from hardpoint_cli.session import collect, connect

    async with connect() as client:
        request = config_pb2.ListSecretsRequest(parent=client.org)
        secrets = await collect(client.config.ListSecrets, request, "secrets")
        rows = [
            (
                short(one.name, client.org),
                one.description,
                str(one.version),
                moment(one.rotate_time if one.HasField("rotate_time") else one.create_time),
            )
            for one in secrets
        ]
        shown = table(["secret", "for", "version", "set at"], rows, "There are no secrets.")
        return Answer({"secrets": [document(one) for one in secrets]}, shown)


async def delete_secret(
    secret: Annotated[str, typer.Argument(help="Its id, as `secret list` shows it.", show_default=False)],
) -> Answer:
    """Destroy a secret with all its versions. It must not be bound in the settings of an installation."""
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = client.named("secrets", secret)
        await client.config.DeleteSecret(config_pb2.DeleteSecretRequest(name=name, request_id=new_request_id()))
        return Answer({"secret": name}, done(f"secret {secret} is gone"))


async def set_settings(
    installation: Installation,
    values: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="What to set.", show_default=False)],
) -> Answer:
    """Give an installation plain values, read as the types that the capability declares; other keys stay."""
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    texts = pairs(values)
    async with connect() as client:
        declared = await _declared(client, installation)
        for key in texts:
            _require_declared(declared, installation, key, secret=False)
        kinds = {key: requirement.type for key, requirement in (declared or {}).items()}
        changed = await client.set_settings(
            installation, {key: typed(key, text, kinds.get(key)) for key, text in texts.items()}
        )
        return Answer({"settings": document(changed)}, done(f"{', '.join(texts)} of {installation} is set"))


async def unset_settings(
    installation: Installation,
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="What to take away.", show_default=False)],
) -> Answer:
    """Take values away from an installation, and secrets: they stay, but it does not have them any more.

    A key that is declared with a default has that again; a secret that nothing is bound to can be deleted.
    """
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id
    from hardpoint_kit.errors import InvalidArgument
    from hardpoint_manifest.authority import nearest

    async with connect() as client:
        name = client.named("settings", installation)
        settings = await client.config.GetSettings(config_pb2.GetSettingsRequest(name=name))
        parts = dict.fromkeys(settings.values.fields, "values") | dict.fromkeys(settings.secrets, "secrets")
        if missing := [key for key in keys if key not in parts]:
            close = nearest(missing[0], parts)
            fix = f"did you mean {close}?" if close else f"it has {', '.join(parts) or 'nothing'}"
            raise InvalidArgument({missing[0]: f"{installation} has no value for it"}, fix=fix)
        request = config_pb2.UpdateSettingsRequest(
            settings=config_pb2.Settings(name=name, etag=settings.etag),
            update_mask=FieldMask(paths=[f"{parts[key]}.{key}" for key in dict.fromkeys(keys)]),
            request_id=new_request_id(),
        )
        changed = await client.config.UpdateSettings(request)
        return Answer({"settings": document(changed)}, done(f"{installation} has no {', '.join(keys)} any more"))


async def list_settings(installation: Installation) -> Answer:
    """List an installation's settings; of its secrets, only that they are set."""
    from hardpoint.config.v1 import config_pb2
    from hardpoint_cli.documents import document
    from hardpoint_cli.names import short
    from hardpoint_cli.session import connect
    from hardpoint_kit.documents import from_struct

    async with connect() as client:
        request = config_pb2.GetSettingsRequest(name=client.named("settings", installation))
        settings = await client.config.GetSettings(request)
        declared = await _declared(client, installation, quiet=True) or {}
        rows = {
            key: [key, json.dumps(value, ensure_ascii=False), ""] for key, value in from_struct(settings.values).items()
        }
        rows |= {key: [key, f"secret {short(name, client.org)}", ""] for key, name in settings.secrets.items()}
        for key, requirement in declared.items():
            rows.setdefault(key, [key, "not set", ""])[2] = "required" if requirement.required else ""
        shown = Group(table(["key", "value", ""], rows.values(), f"{installation} has no settings."))
        return Answer({"settings": document(settings)}, shown)


async def _declared(
    client: "Hardpoint", installation: str, quiet: bool = False
) -> "dict[str, manifest_pb2.Requirement] | None":
    """What the installed release declares, by key; None for settings of no installation, which a test may use."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint.runtime.v1 import installation_pb2
    from hardpoint_kit.errors import NotFound

    name = client.named("installations", installation)
    try:
        found = await client.installations.GetInstallation(installation_pb2.GetInstallationRequest(name=name))
    except NotFound:
        if not quiet:
            note(f"nothing is installed as {installation}; a test can use it: --settings {installation}")
        return None
    try:
        release = await client.registry.GetRelease(registry_pb2.GetReleaseRequest(name=found.release))
    except NotFound:
        return None  # its owner no longer shows it
    return {requirement.key: requirement for requirement in release.manifest.requirements}


def _require_declared(
    declared: "dict[str, manifest_pb2.Requirement] | None", installation: str, key: str, secret: bool
) -> None:
    from hardpoint_kit.errors import InvalidArgument
    from hardpoint_manifest.authority import nearest

    if declared is None:
        return
    known = [name for name, requirement in declared.items() if (requirement.type == "secret") is secret]
    if key in known:
        return
    noun, other = ("secret", "setting") if secret else ("setting", "secret")
    if key in declared:
        argument = "" if secret else "; consider a value that you typed as seen"
        command = f"hardpoint {other} set {installation} {key}{'=...' if secret else ''}"
        raise InvalidArgument({key: f"is a {other}, not a {noun}"}, fix=f"use `{command}`{argument}")
    close = nearest(key, known)
    fix = f"did you mean {close}?" if close else f"it declares {', '.join(known) or f'no {noun}'}"
    raise InvalidArgument({key: f"{installation} has no {noun} of this name"}, fix=fix)
