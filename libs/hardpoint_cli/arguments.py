"""The arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from hardpoint_cli import completion

File = Annotated[
    Path,
    typer.Argument(
        help="The capability's file: YAML, JSON, .js or .py.",
        exists=True,
        dir_okay=False,
        readable=True,
        show_default=False,
    ),
]
Capability = Annotated[
    str,
    typer.Argument(
        help="weather-lookup, or acme/weather-lookup for another org's.",
        autocompletion=completion.capabilities,
        show_default=False,
    ),
]
Installation = Annotated[
    str, typer.Argument(help="The installation's id.", autocompletion=completion.installations, show_default=False)
]
Agent = Annotated[str, typer.Argument(help="The agent's id.", autocompletion=completion.agents, show_default=False)]
