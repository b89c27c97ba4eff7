"""Rules about leaked secrets: values that only one person should know do not stand in a manifest.

A finding shows the first characters at most.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from hardpoint_manifest.document import Place
from hardpoint_manifest.finding import Finding, PatchOp, Path, Severity, pointer
from hardpoint_manifest.load.tree import place_at
from hardpoint_manifest.rules.sites import Site, sites
from hardpoint_manifest.rules.subject import Subject

_KNOWN: Final = {
    "an AWS access key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    "an AWS secret key": re.compile(
        r"(?i)aws_?secret\w{0,20}[\"']?\s{0,4}[:=]\s{0,4}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
    ),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY-----"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]{16,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "a Stripe key": re.compile(r"\b[sr]k_live_[A-Za-z0-9]{16,}"),
    "an API key": re.compile(r"\bsk-(?:[a-z]{2,8}-)?[A-Za-z0-9_-]{32,}"),
    "a JSON Web Token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,200}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
}
_PRIVATE_NAME: Final = re.compile(
    r"(?i)authorization|cookie|(?:^|[-_])(?:api-?_?key|key|token|secret|password|passwd|sig)$"
)
_SCHEME: Final = re.compile(r"(?i)(bearer|basic|token|apikey)\s+")
_RANDOM: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_-]{24,}")
_RANDOM_BITS: Final = 3.8


def check(subject: Subject) -> Iterator[Finding]:
    """The whole file, comments and code included, then the values that are sent."""
    lines = set()
    for name, offset, sample in _known(subject.document.text):
        place = place_at(subject.document.text, offset)
        lines.add(place.line)
        yield _leak(name, sample, place)
    for path, text in _texts(subject.document.data, ()):
        for name, _, sample in _known(text):
            place = subject.document.place(path)
            if place.line not in lines:
                lines.add(place.line)
                yield _leak(name, sample, place)
    for site in sites(subject):
        if subject.document.place(site.path).line not in lines:
            yield from _literal(subject, site)


def _known(text: str) -> Iterator[tuple[str, int, str]]:
    for name, pattern in _KNOWN.items():
        for match in pattern.finditer(text):
            yield name, match.start(), match[0][:4]


def _leak(name: str, sample: str, place: Place) -> Finding:
    return Finding(
        "leaked-secret",
        Severity.ERROR,
        f"the file holds {name} ({sample}…)",
        "",
        place.line,
        place.column,
        "revoke it at the provider, then declare a setting of type secret and write ${ITS_KEY}",
    )


def _literal(subject: Subject, site: Site) -> Iterator[Finding]:
    if site.where == "url":
        for name, value in parse_qsl(urlsplit(site.text.replace("${", "").replace("{{", "")).query):
            if _PRIVATE_NAME.search(name) and "}" not in value:
                message = f"the URL carries a value for {name}"
                yield subject.error(
                    "leaked-secret", site.path, message, "send it as a header or parameter from a secret"
                )
        return
    if site.where not in {"header", "query", "basic"} or "${" in site.text or "{{" in site.text:
        return
    name = _field_name(subject, site.path)
    scheme = _SCHEME.match(site.text)
    value = site.text[scheme.end() :] if scheme else site.text
    private = bool(_PRIVATE_NAME.search(name)) and len(value) >= 8
    if not private and not (_RANDOM.fullmatch(value) and _bits(value) >= _RANDOM_BITS):
        return
    key = re.sub(r"\W", "_", "API_TOKEN" if name.lower() == "authorization" else name.upper())
    reference = f"{scheme[0] if scheme else ''}${{{key}}}"
    patch = PatchOp("replace", pointer(site.path), reference)
    yield subject.error(
        "leaked-secret",
        site.path,
        f"{name} is sent with a literal value ({value[:2]}…)",
        f"declare the secret {key} and write {reference}",
        (patch, *(() if subject.manifest.requirement(key) else subject.add_setting(key, "secret"))),
    )


def _field_name(subject: Subject, path: Path) -> str:
    if path[-1] == "token":
        return "Authorization"
    if path[-1] == "value":
        return str(subject.document.value((*path[:-1], "name")))
    return str(path[-1])


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(part, (*path, index))


def _bits(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
