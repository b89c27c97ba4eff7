"""What a release asks for, shown so that a person can decide, and the decision read back from words."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import typer
from rich.console import RenderableType
from rich.text import Text

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_cli.screen import table
from hardpoint_manifest.authority import PERMISSIONS, SERVED, Authority, nearest


def asked_table(manifest: manifest_pb2.Manifest, granted: manifest_pb2.Authority | None = None) -> RenderableType:
    """Permissions with what they mean, hosts, secrets and settings; with what of it is granted, where that is known."""
    rows: list[tuple[RenderableType, ...]] = []
    for permission in manifest.authority.permissions:
        held = None if granted is None else permission in granted.permissions
        rows.append((permission, _meaning(permission), _tick(held)))
    for host in manifest.authority.hosts:
        held = None if granted is None else host in granted.hosts
        reach = "Reach every host of this name" if host.startswith("*.") else "Reach this host"
        rows.append((f"host {host}", reach, _tick(held)))
    for requirement in manifest.requirements:
        need = "required" if requirement.required else "optional"
        label = requirement.label if requirement.label != requirement.key else requirement.description
        meaning = ", ".join(filter(None, [label, need, requirement.help_url]))
        rows.append((f"{'secret' if requirement.type == 'secret' else 'setting'} {requirement.key}", meaning, ""))
    if manifest.oauth2.scopes:
        rows.append(("scopes", f"What {manifest.oauth2.setting} must allow: {', '.join(manifest.oauth2.scopes)}", ""))
    if manifest.oauth2.token_url:
        places = f"Codes and the secret of your OAuth app go to {_host(manifest.oauth2.token_url)}"
        consent = f", people consent at {_host(manifest.oauth2.authorization_url)}"
        rows.append(("sign-in", places + (consent if manifest.oauth2.authorization_url else ""), ""))
    head = ("asks for", "what it means", "" if granted is None else "granted")
    return table(head, rows, "It asks for nothing: no permission, no host, no setting.")


def chosen(asked: manifest_pb2.Authority, grants: Sequence[str], everything: bool) -> manifest_pb2.Authority:
    """The grants that `--grant` and `--grant-all` name; refuses one that is not asked for."""
    if everything:
        return asked
    wanted = Authority.of(asked.permissions, asked.hosts)
    permissions, hosts = [], []
    for grant in grants:
        if grant in wanted.permissions:
            permissions.append(grant)
        elif _is_host_within(grant, wanted):
            hosts.append(grant)
        else:
            close = nearest(grant, [*asked.permissions, *asked.hosts])
            hint = f": did you mean {close}?" if close else f"; it asks for {_listed(asked)}"
            raise typer.BadParameter(f"{grant} is not asked for{hint}", param_hint="--grant")
    return manifest_pb2.Authority(permissions=permissions, hosts=hosts)


def setting_commands(
    installation: str, missing: Iterable[manifest_pb2.Requirement], manifest: manifest_pb2.Manifest
) -> list[str]:
    """The commands that give an installation the values it lacks; one signs in where its author says where."""
    signs_in = manifest.oauth2.setting if manifest.oauth2.token_url else ""
    return [
        f"hardpoint connect {installation}"
        if requirement.key == signs_in
        else f"hardpoint secret set {installation} {requirement.key}"
        if requirement.type == "secret"
        else f"hardpoint setting set {installation} {requirement.key}=<{requirement.type}>"
        for requirement in missing
    ]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _meaning(permission: str) -> str:
    if permission not in PERMISSIONS:
        return "a permission that this CLI does not know"
    return PERMISSIONS[permission] + ("" if permission in SERVED else " (opens nothing yet)")


def _is_host_within(grant: str, wanted: Authority) -> bool:
    try:
        return wanted.covers(Authority.of(hosts=[grant]))
    except ValueError:
        return False


def _listed(asked: manifest_pb2.Authority) -> str:
    return ", ".join([*asked.permissions, *asked.hosts]) or "nothing"


def _tick(held: bool | None) -> RenderableType:
    return "" if held is None else Text("✓", "green") if held else Text("no", "yellow")
