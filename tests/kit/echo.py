"""A service with all four kinds of RPC, described at run time; what it does is up to each test."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from buf.validate import validate_pb2
from hardpoint.auth.v1 import rule_pb2
from hardpoint_kit.unit import Unit

PACKAGE = "hardpoint.kittest.v1"
ECHO = f"{PACKAGE}.EchoService"
TICKETS = f"{PACKAGE}.TicketService"
UNITS_ONLY = f"{PACKAGE}.UnitsOnlyService"
OPEN = f"{PACKAGE}.OpenService"
UNRULED = f"{PACKAGE}.UnruledService"
SHAPES = {"One": (False, False), "Down": (False, True), "Up": (True, False), "Both": (True, True)}


def _extension(options: Any, extension: Any) -> Any:
    return options.Extensions[extension]


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="hardpoint/kittest/v1/echo.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=["hardpoint/auth/v1/rule.proto", "buf/validate/validate.proto"],
    )
    message = file.message_type.add(name="Echo")
    for number, name in enumerate(("name", "text", "request_id"), start=1):
        field = message.field.add(name=name, number=number, type="TYPE_STRING", label="LABEL_OPTIONAL")
        if name == "text":
            _extension(field.options, validate_pb2.field).string.max_len = 1000
    rules = {
        ECHO: rule_pb2.Rule(permission="runtime.echoes.read", resource="name", who=rule_pb2.WHO_ORG),
        TICKETS: rule_pb2.Rule(who=rule_pb2.WHO_TICKET),
        UNITS_ONLY: rule_pb2.Rule(permission="runtime.echoes.read", resource="name", who=rule_pb2.WHO_SERVICE),
        OPEN: rule_pb2.Rule(permission="runtime.echoes.write", who=rule_pb2.WHO_ANY_ORG),
        UNRULED: rule_pb2.Rule(),
    }
    for service_name, rule in rules.items():
        service = file.service.add(name=service_name.rpartition(".")[2])
        for name, (up, down) in SHAPES.items():
            method = service.method.add(
                name=name,
                input_type=f".{PACKAGE}.Echo",
                output_type=f".{PACKAGE}.Echo",
                client_streaming=up,
                server_streaming=down,
            )
            if rule.who:
                _extension(method.options, rule_pb2.rule).CopyFrom(rule)
        if service_name == ECHO:
            read = service.method.add(name="Read", input_type=f".{PACKAGE}.Echo", output_type=f".{PACKAGE}.Echo")
            _extension(read.options, rule_pb2.rule).CopyFrom(rule)
            read.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return file


descriptor_pool.Default().Add(_file())
Echo: Any = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.Echo"))


class EchoServicer:
    """Answers with what it was sent, after `act` had its say."""

    async def act(self, request: Any, context: Any) -> None:
        """Do nothing; tests replace it."""

    async def One(self, request: Any, context: Any) -> Any:
        await self.act(request, context)
        return request

    Read = One

    async def Down(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        await self.act(request, context)
        yield request

    async def Up(self, requests: AsyncIterator[Any], context: Any) -> Any:
        last = Echo()
        async for last in requests:
            await self.act(last, context)
        return last

    async def Both(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            await self.act(request, context)
            yield request


_MAKE = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def echo_unit(servicer: EchoServicer, *services: str, name: str = "echo", **life: Any) -> Unit:
    """A unit that offers the echo services named, `ECHO` when none is."""

    def adder(service: str) -> Any:
        shapes = {**SHAPES, "Read": SHAPES["One"]} if service == ECHO else SHAPES

        def add(servicer: Any, server: Any) -> None:
            handlers = {
                method: _MAKE[shape](getattr(servicer, method), Echo.FromString, Echo.SerializeToString)
                for method, shape in shapes.items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

        return add

    return Unit(name, [(adder(service), servicer) for service in services or (ECHO,)], **life)


async def call(
    channel: grpc.aio.Channel, method: str, *requests: Any, service: str = ECHO, **options: Any
) -> list[Any]:
    """Make one call of any kind; returns all messages of the answer."""
    up, down = {**SHAPES, "Read": SHAPES["One"]}[method]
    kind = f"{'stream' if up else 'unary'}_{'stream' if down else 'unary'}"
    stub = getattr(channel, kind)(f"/{service}/{method}", Echo.SerializeToString, Echo.FromString)
    answer = stub(_each(requests) if up else requests[0], **options)
    return [message async for message in answer] if down else [await answer]


async def _each(requests: tuple[Any, ...]) -> AsyncIterator[Any]:
    for request in requests:
        yield request
