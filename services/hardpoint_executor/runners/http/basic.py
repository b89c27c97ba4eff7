"""HTTP Basic: a user's name and password become one value, outside of requests and templates.

The two are joined and encoded (RFC 7617), which a template of handles cannot say. So the value is made when the
execution's secrets are, and is one of them: the runner sees its handle alone, and only hosts that both are for get it.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

from hardpoint_executor.broker.secrets import Secret
from hardpoint_manifest.authority import Authority
from hardpoint_manifest.expression import ExpressionError, Scope, Template, as_text
from hardpoint_manifest.model import Basic

KEY = "basic-authorization"
"""No requirement can have this name."""


@dataclass(frozen=True, slots=True)
class BasicPlan:
    """The compiled name and password."""

    username: Template
    password: Template
    keys: frozenset[str]
    """The secrets in them."""

    @classmethod
    def compile(cls, basic: Basic, scope: Scope) -> Self:
        """Compile both templates; raises ExpressionError."""
        username, password = Template.parse(basic.username, scope), Template.parse(basic.password, scope)
        paths = [path for one in (*username.expressions, *password.expressions) for path in one.source.paths]
        return cls(username, password, frozenset(path.root for path in paths) & scope.secrets)

    def made(self, secrets: Mapping[str, Secret], settings: Mapping[str, Any]) -> dict[str, Secret]:
        """The value under KEY; nothing while one of its parts has none, or when the name would end at its colon."""
        used = [secrets[key] for key in sorted(self.keys) if key in secrets]
        if lost := [secret for secret in used if secret.no_text]:
            return {KEY: lost[0]}
        variables = {**settings, **{key: secret.value for key, secret in secrets.items()}}
        try:
            username, password = (as_text(one.evaluate(variables)) for one in (self.username, self.password))
        except ExpressionError:
            return {}
        if not used or ":" in username:
            return {}
        hosts = reduce(Authority.intersect, (Authority(hosts=secret.hosts) for secret in used)).hosts
        value = base64.b64encode(f"{username}:{password}".encode()).decode()
        return {KEY: Secret(value, hosts, used[0].pointer)}
