"""What one execution may spend outside its jail, and what it has spent."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Bounds of one execution; a redirect is a call of its own."""

    calls: int = 10
    """Requests to the network."""
    operations: int = 200
    """Asks of the broker that do not leave the machine."""
    call_seconds: float = 5.0
    wall_seconds: float = 30.0
    """From the moment the broker is made."""
    request_bytes: int = 1024 * 1024
    response_bytes: int = 1024 * 1024
    rows: int = 1000
    """Of one answer of a database."""
    model_seconds: float = 60.0
    """Of one answer of a model."""
    model_bytes: int = 2 * 1024 * 1024
    model_tokens: int = 200_000
    """Of all that an execution asks models and that they answer; the answer that passes it is the last."""
    mail_seconds: float = 20.0
    recipients: int = 50
    """Of one mail, all of To, Cc and Bcc."""
    mail_bytes: int = 5 * 1024 * 1024
    """Of one mail, its attachments among them."""
    sockets: int = 4
    """WebSockets that are open at the same time."""
    messages: int = 200
    """Sent and received over all of them."""
    message_bytes: int = 512 * 1024
    """Of one message, either way."""
    socket_bytes: int = 8 * 1024 * 1024
    """Of all that comes over them: messages, and whatever else a server says; each frame counts for some more."""
    calendar_seconds: float = 20.0
    """Of one request to a calendar."""
    files: int = 16
    file_bytes: int = 4 * 1024 * 1024
    """Of all temporary files together."""
    saved_files: int = 16
    saved_bytes: int = 10 * 1024 * 1024
    """Of all that is saved; what comes from the jail is held in memory until it is complete."""

    @property
    def asks(self) -> int:
        """Asks of a jail after which it only wastes time: all that is allowed, and some to hear that no more is."""
        return self.calls + self.operations + self.messages + 20


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
