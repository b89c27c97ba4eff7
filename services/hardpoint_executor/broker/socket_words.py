"""What is asked of a WebSocket, checked and with its secrets: where it goes, what is said to open it, and messages."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry import trace

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.fetcher import filled_url
from hardpoint_executor.broker.files import data_of
from hardpoint_executor.broker.means import Means, invalid
from hardpoint_executor.broker.policy import Target, check_headers
from hardpoint_executor.broker.wire import Message
from hardpoint_kit.carrier import carrier

MOST_SUBPROTOCOLS: Final = 16
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")


def target_of(means: Means, url: str) -> Target:
    """Where a URL leads; raises BrokerDenied, as all here do."""
    scheme, mark, rest = url.partition("://")
    http = _SCHEMES.get(scheme.lower())
    if not mark or http is None:
        raise BrokerDenied(
            DenialCode.URL_REFUSED,
            "the URL of a WebSocket begins with wss:// or ws://",
            "use wss://, the host and the path",
        )
    return means.policy.target(filled_url(means.policy, means.secrets, f"{http}://{rest}"))


def headers_of(means: Means, arguments: Mapping[str, Any], target: Target) -> dict[str, str]:
    """What is said besides to open it."""
    given = arguments.get("headers") or {}
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise invalid("headers must be an object of texts", 'use {"authorization": "..."}')
    headers = {name: means.secrets.fill(value, target).strip() for name, value in given.items()}
    check_headers(headers)
    sent = {"user-agent": "Hardpoint"} | {name.lower(): value for name, value in headers.items()}
    return sent | carrier(trace.get_current_span())


def subprotocols_of(means: Means, arguments: Mapping[str, Any], target: Target) -> Sequence[str]:
    """Those that the server may choose from."""
    given = arguments.get("subprotocols") or []
    if not isinstance(given, list) or len(given) > MOST_SUBPROTOCOLS:
        raise invalid(f"subprotocols is not a list of at most {MOST_SUBPROTOCOLS}", 'use ["graphql-ws"]')
    names = [means.secrets.fill(name, target) for name in given if isinstance(name, str)]
    if len(names) < len(given) or len(set(names)) < len(names) or not all(map(_TOKEN.fullmatch, names)):
        raise BrokerDenied(
            DenialCode.HEADER_REFUSED,
            "a subprotocol is no name of letters, digits and hyphens, or is there twice",
            "use names such as graphql-transport-ws, each once",
        )
    return names


def message_of(means: Means, target: Target, arguments: Mapping[str, Any]) -> Message:
    """What is to be sent: in a text, handles become secrets, escaped where the text is JSON."""
    data, encoding = arguments.get("data"), arguments.get("encoding", "utf-8")
    if not isinstance(data, str) or encoding not in ("utf-8", "base64"):
        raise invalid("a message is text or bytes", "send a text, bytes, or a value that JSON can hold")
    if encoding == "base64":
        return Message(data_of({"data": data, "encoding": encoding}), False)
    kind = "application/json" if _is_json(data) else "text/plain"
    filled = means.secrets.fill_body(data, kind, target)
    return Message(filled.encode(errors="replace"), True)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
