"""The rules of the language, one module for each thing they are about; each yields findings about a Subject."""

from collections.abc import Callable, Iterator
from typing import Final

from hardpoint_manifest.finding import Finding
from hardpoint_manifest.rules import (
    answers,
    authority,
    callees,
    connectors,
    engine,
    examples,
    expressions,
    flow,
    names,
    plan,
    providers,
    requests,
    secrets,
    services,
    settings,
    triggers,
    workflow,
)
from hardpoint_manifest.rules.subject import Subject

__all__ = ["RULES", "Subject"]

RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    names.check,
    requests.check,
    connectors.check,
    expressions.check,
    authority.check,
    engine.check,
    settings.check,
    services.check,
    secrets.check,
    examples.check,
    answers.check,
    providers.check,
    triggers.check,
    callees.check,
    workflow.check,
    flow.check,
    plan.check,
)
