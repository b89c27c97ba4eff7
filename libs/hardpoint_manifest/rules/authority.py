"""Rules about what a capability reaches: permissions, hosts, and the time it may take."""

from collections.abc import Iterator

from hardpoint_manifest import source as written
from hardpoint_manifest.authority import COMPUTE_SECONDS, PERMISSIONS, SERVED, HostRule, nearest
from hardpoint_manifest.finding import Finding, PatchOp, pointer
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.model import Kind
from hardpoint_manifest.normalise import derives_permissions, needs
from hardpoint_manifest.rules.sites import calls
from hardpoint_manifest.rules.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """Permissions, hosts and limits."""
    yield from _unknown_permissions(subject)
    yield from _unserved_permissions(subject)
    yield from _missing_permissions(subject)
    yield from _declared_hosts(subject)
    yield from _derived_hosts(subject)
    if subject.manifest.kind is Kind.CODE:
        yield from _code(subject)


def _unknown_permissions(subject: Subject) -> Iterator[Finding]:
    for index, name in enumerate(subject.source.permissions):
        if name in PERMISSIONS:
            continue
        path = subject.at("permissions", index)
        close = nearest(name)
        if close is None:
            yield subject.error("unknown-permission", path, f"there is no permission {name!r}")
        else:
            patch = PatchOp("replace", pointer(path), close)
            yield subject.error(
                "unknown-permission", path, f"there is no permission {name!r}", f"did you mean {close}?", (patch,)
            )


def _unserved_permissions(subject: Subject) -> Iterator[Finding]:
    unserved = {
        index: name
        for index, name in enumerate(subject.source.permissions)
        if name in PERMISSIONS and name not in SERVED
    }
    if not unserved:
        return
    names = dict.fromkeys(unserved.values())
    # The last one first, so that no removal moves what another one names.
    patch = tuple(
        PatchOp("remove", pointer(subject.at("permissions", index))) for index in sorted(unserved, reverse=True)
    )
    yield subject.warning(
        "permission-not-supported",
        subject.at("permissions", min(unserved)),
        f"{'; '.join(f'{name} will open: {PERMISSIONS[name]}' for name in names)}; nothing of this version serves it",
        f"remove {', '.join(names)}, or keep asking for a version that serves it",
        patch,
    )


def _missing_permissions(subject: Subject) -> Iterator[Finding]:
    manifest = subject.manifest
    needed = needs((*manifest.actions, *manifest.inner), manifest.calls)
    missing = {name: actions for name, actions in needed.items() if name not in subject.manifest.permissions}
    path = subject.at("permissions")
    patch: tuple[PatchOp, ...]
    if not missing and derives_permissions(subject.source) and needed:
        message = "; ".join(f"{', '.join(actions)} needs {name}" for name, actions in needed.items())
        message += "; nothing says so, and it is asked for"
        patch = (PatchOp("add", pointer(path), list(needed)),)
        yield subject.warning("derived-permission", path, message, f"write permissions: [{', '.join(needed)}]", patch)
    if not missing:
        return
    if subject.document.value(path) is None:
        patch = (PatchOp("add", pointer(path), list(missing)),)
    else:
        patch = tuple(PatchOp("add", pointer((*path, "-")), name) for name in missing)
    message = "; ".join(f"{', '.join(actions)} needs {name}" for name, actions in missing.items())
    yield subject.error("missing-permission", path, message, f"add {', '.join(missing)} to `permissions`", patch)


def _declared_hosts(subject: Subject) -> Iterator[Finding]:
    fields = {"hosts": subject.source.hosts}
    if isinstance(subject.source, written.Header):
        fields["allowed_domains"] = subject.source.allowed_domains
    for field, hosts in fields.items():
        for index, host in enumerate(hosts):
            try:
                HostRule.parse(host)
            except ValueError as error:
                yield subject.error("invalid-host", subject.at(field, index), str(error))


def _derived_hosts(subject: Subject) -> Iterator[Finding]:
    for call in calls(subject):
        path, url = call.url_path, call.url
        if call.api is not None:
            path, url = subject.at("api", "base_url"), call.api.base_url
        try:
            host = host_of(url)
        except ValueError as error:
            yield subject.error("invalid-url", path, str(error))
            continue
        if str(host) not in subject.source.hosts:
            yield subject.info("derived-host", path, f"requests go to {host}")
        if url.lower().startswith("http:"):
            message = f"requests to {host.host} travel unencrypted"
            yield subject.warning("plain-http", path, message, "use https:// where the service offers it")


def _code(subject: Subject) -> Iterator[Finding]:
    tier = subject.manifest.limits.compute
    yield subject.info(
        "compute-limit",
        subject.at("permissions"),
        f"one execution may take {COMPUTE_SECONDS[tier]} s (compute.{tier}), or less where the org's policy says so",
    )
    network = [name for name in subject.manifest.permissions if name.startswith("network.")]
    if network and not subject.manifest.hosts:
        message = f"{network[0]} is asked for, but no host is declared, so every request will be refused"
        yield subject.warning(
            "no-hosts", subject.at("permissions"), message, 'declare them: hosts: ["api.example.com"]'
        )
