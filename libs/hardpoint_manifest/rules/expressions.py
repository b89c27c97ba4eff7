"""Rules about expressions: they parse, name only what is declared, fit in type, and keep secrets where they may go."""

import re
from collections.abc import Iterator
from typing import Final

from hardpoint_manifest.authority import Authority
from hardpoint_manifest.expression import Expression, ExpressionError, Scope, Template, compile
from hardpoint_manifest.finding import Finding, PatchOp, Path, pointer
from hardpoint_manifest.hosts import host_of
from hardpoint_manifest.rules.sites import MAX_SITES, Site, sites
from hardpoint_manifest.rules.subject import Subject

_SETTING: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TEMPLATE: Final = re.compile(r"\$\{([^{}]*)\}|\{\{([^{}]*)\}\}")
_RULES: Final = {
    "EXPRESSION_INVALID": "expression-invalid",
    "NAME_UNDECLARED": "undeclared-name",
    "TYPE_MISMATCH": "expression-type",
}
_FITTING: Final = {("integer", "number"), ("number", "integer")}


def check(subject: Subject) -> Iterator[Finding]:
    """Every expression of every HTTP call."""
    count = 0
    for number, site in enumerate(sites(subject), start=1):
        if count > MAX_SITES or number == MAX_SITES:
            message = f"the actions hold more than {MAX_SITES} texts and expressions together"
            yield subject.error("too-many-expressions", site.path, message, "split the capability")
            return
        scope = site.scope(subject)
        try:
            if site.of_response:
                expressions: tuple[Expression, ...] = (compile(site.text, scope),)
            else:
                expressions = Template.parse(site.text, scope).expressions
        except ExpressionError as error:
            yield _invalid(subject, site, error)
            continue
        count += len(expressions)
        yield from _result_type(subject, site, expressions)
        yield from _secrets(subject, site, scope, expressions)


def explain(subject: Subject, path: Path, error: ExpressionError, patch: tuple[PatchOp, ...] = ()) -> Finding:
    """The finding of an expression that does not compile."""
    return subject.error(_RULES[error.reason], path, error.message, error.fix, patch)


def _invalid(subject: Subject, site: Site, error: ExpressionError) -> Finding:
    if site.of_response and (template := _TEMPLATE.fullmatch(site.text.strip())):
        expression = (template[1] or template[2] or "").strip()
        patch = PatchOp("replace", pointer(site.path), expression)
        message = "an expression about the response stands without `${...}` around it"
        return subject.error("expression-invalid", site.path, message, f"write {expression}", (patch,))
    if error.reason != "NAME_UNDECLARED":
        return explain(subject, site.path, error)
    if subject.manifest.requirement(error.place) is not None:
        message = f"{error.place} is a setting; settings stand in requests, not in expressions about the response"
        return subject.error("undeclared-name", site.path, message)
    if _SETTING.fullmatch(error.place) and not site.of_response:
        kind = "string" if site.where == "url" else "secret"
        error.fix = f"declare {error.place} under `{subject.settings_key}`" + (f"; {error.fix}" if error.fix else "")
        return explain(subject, site.path, error, subject.add_setting(error.place, kind))
    return explain(subject, site.path, error)


def _result_type(subject: Subject, site: Site, expressions: tuple[Expression, ...]) -> Iterator[Finding]:
    wanted = "any"
    if site.where == "success":
        wanted = "boolean"
    elif site.where == "page" and site.path[-1] == "items":
        wanted = "array"
    elif site.where == "mapping":
        outputs = {output.name: output.type for output in site.action.outputs}
        wanted = outputs.get(str(site.path[-1]), "any")
    for expression in expressions:
        given = expression.result_type
        if "any" not in (given, wanted) and given != wanted and (given, wanted) not in _FITTING:
            message = f"{expression.text} is {given}, where {wanted} is declared"
            yield subject.error("expression-type", site.path, message, "convert it or change the declared type")


def _secrets(subject: Subject, site: Site, scope: Scope, expressions: tuple[Expression, ...]) -> Iterator[Finding]:
    for expression in expressions:
        roots = {path.root for path in expression.source.paths}
        used = sorted(roots & scope.secrets)
        if not used:
            yield from _open_credential(subject, site, roots)
            continue
        yield from _other_host(subject, site, used[0])
        if site.where not in {"header", "query", "body", "basic"}:
            message = f"the secret {used[0]} stands in the URL, which ends up in logs"
            yield subject.error("secret-misplaced", site.path, message, "send it in a header")
        elif expression.source.whole is None or expression.source.whole.parts:
            message = f"the secret {used[0]} is used in a calculation; only the broker knows its value"
            yield subject.error("secret-misplaced", site.path, message, f"write ${{{used[0]}}} by itself")


def _open_credential(subject: Subject, site: Site, roots: set[str]) -> Iterator[Finding]:
    """A credential out of a setting that everybody in the org may read."""
    if site.path[-2:-1] != ("auth",) or site.path[-1] == "username":
        return
    for key in sorted(roots):
        if subject.manifest.requirement(key) is not None:
            message = f"{key} carries a credential and is no secret"
            yield subject.error("credential-not-secret", site.path, message, f"declare {key} with type: secret")


def _other_host(subject: Subject, site: Site, key: str) -> Iterator[Finding]:
    """A secret that would go to a host that it is not for: the broker would refuse every call."""
    requirement = subject.manifest.requirement(key)
    try:
        host = host_of(site.action.http.url) if site.action.http else None
    except ValueError:
        return  # told with the URL
    if requirement is None or host is None or not requirement.hosts:
        return
    if not Authority(hosts=frozenset(requirement.hosts)).allows_host(host.host, host.port):
        message = f"{key} is for {', '.join(requirement.hosts)}, and would be sent to {host}"
        fix = f"add {host} to its `hosts`" if requirement.declared else "declare a secret of its own for this host"
        yield subject.error("secret-host", site.path, message, fix)
