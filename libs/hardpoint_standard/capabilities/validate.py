"""Whether a value fits a JSON Schema, and where it does not."""

import jsonschema
import referencing
import referencing.exceptions

from hardpoint_sdk import action, capability

PLACES = 20
"""Of a value that does not fit, the places that are told; there may be many more."""


class DoesNotFit(Exception):
    """The value is not what the schema says."""


class SchemaUnusable(Exception):
    """The schema itself is wrong."""


@capability(
    id="validate",
    name="Validate data",
    icon="✅",
    version="1.0.0",
    author="Hardpoint",
    description="Check a value against a JSON Schema; what does not fit is named, place by place",
    category="data",
    tags=["json", "schema"],
    libraries=["jsonschema"],
    permissions=["compute.moderate"],
)
class Validate:
    @action(
        description="Give the value back when it fits the schema, else fail and name each place that does not",
        inputs=[
            {"name": "input", "type": "any", "required": True, "description": "The value"},
            {
                "name": "schema",
                "type": "object",
                "required": True,
                "description": "The JSON Schema that it must fit, of the draft that its $schema names, else 2020-12",
            },
        ],
        effect="read",
    )
    async def schema(self, input):
        validator = jsonschema.validators.validator_for(input["schema"], jsonschema.Draft202012Validator)
        try:
            validator.check_schema(input["schema"])
            # An empty registry: what a schema refers to is in it, and nothing is fetched.
            checked = validator(
                input["schema"], registry=referencing.Registry(), format_checker=validator.FORMAT_CHECKER
            )
            wrong = sorted(checked.iter_errors(input["input"]), key=lambda error: error.json_path)
        except jsonschema.SchemaError as error:
            raise SchemaUnusable(f"schema{place(error.absolute_path)}: {error.message}") from None
        except referencing.exceptions.Unresolvable as error:
            raise SchemaUnusable(f"schema: it refers to {error.ref}, which is not in it: put it under $defs") from None
        if wrong:
            told = [f"input{place(error.absolute_path)}: {error.message[:200]}" for error in wrong[:PLACES]]
            more = [f"and {len(wrong) - PLACES} more"] if len(wrong) > PLACES else []
            raise DoesNotFit("; ".join(told + more))
        return input["input"]


def place(path):
    """A path as one writes it: `.items[0].price`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
