"""The last door before the network, as the broker knows it: what is not dialled is denied."""

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_kit import dial
from hardpoint_kit.dial import NotDialled, Streams


class GuardedDialler(dial.GuardedDialler):
    """Connects to public addresses and to aliases, and to nothing else."""

    def is_alias(self, host: str) -> bool:
        """Whether a place of this machine stands in for a host; no TLS is spoken to it."""
        return host in self._aliases

    async def check(self, host: str, port: int) -> None:
        """See `hardpoint_kit.dial`; raises BrokerDenied."""
        try:
            await super().check(host, port)
        except NotDialled as refused:
            raise _denied(refused) from refused

    async def connect(self, host: str, port: int) -> Streams:
        """See `hardpoint_kit.dial`; raises BrokerDenied."""
        try:
            return await super().connect(host, port)
        except NotDialled as refused:
            raise _denied(refused) from refused


def unreachable(host: str) -> BrokerDenied:
    """The denial for a host that does not accept a connection, or drops it."""
    return _denied(dial.unreachable(host))


def unnamed(denied: BrokerDenied, what: str, setting: str) -> BrokerDenied:
    """The denial of a place that a URL names which is a secret: it says the setting, and nothing of the place."""
    why = "names no public address" if denied.code == DenialCode.ADDRESS_NOT_PUBLIC else "cannot be reached"
    fix = f"look at the host and the port of {setting}"
    return BrokerDenied(denied.code, f"{what} of {setting} {why}", fix, setting=setting)


def _denied(refused: NotDialled) -> BrokerDenied:
    return BrokerDenied(DenialCode(refused.reason), refused.message, refused.fix)
