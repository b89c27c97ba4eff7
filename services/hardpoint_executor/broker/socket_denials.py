"""What goes wrong with a WebSocket, as denials: a server's own words stay behind."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.dial import unreachable
from hardpoint_executor.broker.policy import Target
from hardpoint_executor.broker.wire import Broken, HandshakeFailed, Wire


@contextmanager
def denials(target: Target, wire: Wire | None = None) -> Iterator[None]:
    """What goes wrong ends the WebSocket, if there is one; raises BrokerDenied."""
    try:
        yield
    except BrokerDenied:
        _end(wire)
        raise
    except HandshakeFailed as failed:
        raise _no_handshake(target, failed.status) from None
    except Broken as broken:
        _end(wire)
        if broken.too_large:
            raise BrokerDenied(
                DenialCode.RESPONSE_TOO_LARGE,
                f"host {target.host} sent a message that is too large",
                "ask the host for less, e.g. page by page",
                host=target.rule,
            ) from None
        raise _no_websocket(target) from None
    except ssl.SSLError:
        _end(wire)
        raise BrokerDenied(
            DenialCode.UPSTREAM_UNREACHABLE,
            f"host {target.host} has no certificate that can be trusted",
            "the host's owner has to renew or correct it",
        ) from None
    except OSError:
        _end(wire)
        raise unreachable(target.host) from None


def _end(wire: Wire | None) -> None:
    if wire is not None:
        wire.abort()


def _no_handshake(target: Target, status: int) -> BrokerDenied:
    if 300 <= status < 400:
        return BrokerDenied(
            DenialCode.REDIRECT_REFUSED,
            f"host {target.host} redirects, and a WebSocket is not redirected",
            "use the address that it redirects to",
            host=target.rule,
            status=str(status),
        )
    if not status:
        return _no_websocket(target)
    return BrokerDenied(
        DenialCode.UPSTREAM_ERROR,
        f"host {target.host} opens no WebSocket: it answered with status {status}",
        "look at the path, the headers and the subprotocols",
        host=target.rule,
        status=str(status),
    )


def _no_websocket(target: Target) -> BrokerDenied:
    return BrokerDenied(
        DenialCode.UPSTREAM_ERROR,
        f"host {target.host} does not speak WebSocket as it was asked to",
        "the host's owner has to correct it",
        host=target.rule,
    )
