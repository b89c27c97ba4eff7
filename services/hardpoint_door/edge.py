"""Owns HTTP: one route, bodies read within bounds, and the runtime's word as the answer."""

import asyncio

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hardpoint_door.domain import MAX_BODY_BYTES, Said, Unreadable, passed_on
from hardpoint_door.peers import Runtime
from hardpoint_kit.clock import Clock
from hardpoint_kit.errors import HardpointError

READ_SECONDS = 10.0
RETRY_SECONDS = 5
LONGEST_TOKEN = 200

_log = structlog.stdlib.get_logger(__name__)


def application(runtime: Runtime, clock: Clock) -> Starlette:
    """Serve `POST /hooks/{token}`; everything else is no page of this site."""

    async def hook(request: Request) -> Response:
        at = clock.now()
        try:
            headers = passed_on(request.headers.raw)
            body = await _body(request)
            said = await runtime.deliver(request.path_params["token"][:LONGEST_TOKEN], headers, body, at)
        except Unreadable as error:
            said = Said(error.status)
        except HardpointError as error:
            _log.warning("a delivery could not be taken", reason=error.reason, problem=error.loggable)
            said = Said(503, retry_after=RETRY_SECONDS)
        return _response(said)

    site = Starlette(routes=[Route("/hooks/{token}", hook, methods=["POST"])])
    site.router.redirect_slashes = False
    return site


async def _body(request: Request) -> bytes:
    """The whole body; raises Unreadable for one that is too large or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise Unreadable(413)
    except TimeoutError:
        raise Unreadable(408) from None
    except ClientDisconnect:
        raise Unreadable(400) from None
    return bytes(body)


def _response(said: Said) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if said.retry_after:
        headers["retry-after"] = str(said.retry_after)
    if said.body:
        headers["content-type"] = said.content_type
    return Response(said.body, said.status, headers)
