"""What one execution may spend outside its jail, and what it has spent."""

from dataclasses import dataclass, field
from typing import Final

from hardpoint_executor.limits import seconds, whole

_BEYOND: Final = whole("broker.beyond")


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Bounds of one execution; a redirect is a call of its own."""

    calls: int = whole("policy.broker_calls")
    """Requests to the network."""
    operations: int = whole("broker.operations")
    """Asks of the broker that do not leave the machine."""
    call_seconds: float = seconds("broker.call_seconds")
    wall_seconds: float = seconds("policy.wall_seconds")
    """From the moment the broker is made."""
    request_bytes: int = whole("broker.request_kib")
    response_bytes: int = whole("broker.response_kib")
    rows: int = whole("broker.rows")
    """Of one answer of a database."""
    model_seconds: float = seconds("broker.model_seconds")
    """Of one answer of a model."""
    model_bytes: int = whole("broker.model_kib")
    model_tokens: int = whole("broker.model_tokens")
    """Of all that an execution asks models and that they answer; the answer that passes it is the last."""
    mail_seconds: float = seconds("broker.mail_seconds")
    recipients: int = whole("broker.recipients")
    """Of one mail, all of To, Cc and Bcc."""
    mail_bytes: int = whole("broker.mail_kib")
    """Of one mail, its attachments among them."""
    sockets: int = whole("broker.sockets")
    """WebSockets that are open at the same time."""
    messages: int = whole("broker.messages")
    """Sent and received over all of them."""
    message_bytes: int = whole("broker.message_kib")
    """Of one message, either way."""
    socket_bytes: int = whole("broker.socket_kib")
    """Of all that comes over them: messages, and whatever else a server says; each frame counts for some more."""
    calendar_seconds: float = seconds("broker.calendar_seconds")
    """Of one request to a calendar."""
    files: int = whole("broker.files")
    file_bytes: int = whole("broker.file_kib")
    """Of all temporary files together."""
    saved_files: int = whole("broker.saved_files")
    saved_bytes: int = whole("broker.saved_kib")
    """Of all that is saved; what comes from the jail is held in memory until it is complete."""

    @property
    def asks(self) -> int:
        """Asks of a jail after which it only wastes time: all that is allowed, and some to hear that no more is."""
        return self.calls + self.operations + self.messages + _BEYOND


@dataclass(slots=True)
class Usage:
    """What one execution has spent so far; bytes are those of bodies, as they travelled.

    `permissions` and `hosts` (as the narrowest rules) are those that it really used: admitted, and acted upon.
    """

    calls: int = 0
    operations: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """Of models, as they counted them."""
    milliseconds: float = 0.0
    permissions: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    wrote: bool = False
    """Whether something that may change something outside has begun to leave, however it ended."""

    def begin_write(self) -> None:
        """Say so, at the last moment at which it is certain that nothing has left."""
        self.wrote = True
