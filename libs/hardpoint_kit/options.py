"""Owns process configuration: environment variables `HARDPOINT_*`, read once at the start."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from hardpoint_kit.errors import InvalidArgument

PREFIX = "HARDPOINT_"


class Options(BaseSettings):
    """What every process can be told.

    A unit's own options subclass this and start with the unit's name: `config_database_url` is read from
    `HARDPOINT_CONFIG_DATABASE_URL`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    def __init__(self, **given: Any) -> None:
        """Read the environment, but for what is given; raises InvalidArgument, which does not repeat the values."""
        try:
            super().__init__(**given)
            return
        except ValidationError as refused:
            wrong = {str(error["loc"][0]): error["msg"] for error in refused.errors()}
        except SettingsError as refused:
            field = re.search(r'field "(\w+)"', str(refused))
            if field is None:
                raise
            wrong = {field[1]: "must be JSON"}
        named = {f"{PREFIX}{name}".upper(): problem for name, problem in wrong.items()}
        raise InvalidArgument(named, fix="correct it, or leave it out for the usual value")

    listen: str = "127.0.0.1:7700"
    """Host and port to serve gRPC on; port 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    otlp_endpoint: str = ""
    """Where traces and metrics are sent by OTLP over gRPC, such as http://localhost:4317; empty sends none."""
    jwks: str = ""
    """URL or file of the keys that tokens are verified with."""
    issuer: str = "hardpoint"
    """The `iss` that tokens must carry."""
    audience: str = "hardpoint"
    """The `aud` that tokens must carry."""
    service_token_file: Path | None = None
    """File with the token this process shows to its peers; read again for every call, so that it can be rotated."""

    request_days: float = Field(default=2, gt=0)
    """How long a unit remembers its answer to a `request_id`."""
    audit_days: float = Field(default=400, gt=0)
    """How long a unit keeps its audit events."""

    def service_token(self) -> str:
        """Read the token this process shows to its peers, empty when it has none."""
        return self.service_token_file.read_text().strip() if self.service_token_file else ""
