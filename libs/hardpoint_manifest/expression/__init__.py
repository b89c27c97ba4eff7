"""Expressions and templates: the one language of manifests, CEL, in `${...}`, `{{...}}` and response mappings.

Pure: evaluation reads only the variables it is given. Bounded: in length, nesting, loops and size of the result.
"""

from hardpoint_manifest.expression.budget import Budget
from hardpoint_manifest.expression.compiled import Expression, compile
from hardpoint_manifest.expression.errors import ExpressionError
from hardpoint_manifest.expression.scope import Scope
from hardpoint_manifest.expression.template import Structure, Template, as_text

__all__ = ["Budget", "Expression", "ExpressionError", "Scope", "Structure", "Template", "as_text", "compile"]
