"""The calls that tests of config make, with the arguments they mostly have."""

from typing import Any

from hardpoint.config.v1 import config_pb2

NAME = "orgs/acme/settings/weather"
TOKEN = "orgs/acme/secrets/token"


def settings(values: Any = None, secrets: Any = None, etag: str = "", name: str = NAME) -> config_pb2.Settings:
    return config_pb2.Settings(name=name, values=values or {}, secrets=secrets or {}, etag=etag)


async def update(config: Any, *given: Any, mask: tuple[str, ...] = (), request_id: str = "", **named: Any) -> Any:
    request = config_pb2.UpdateSettingsRequest(settings=settings(*given, **named), request_id=request_id)
    request.update_mask.paths.extend(mask)
    return await config.UpdateSettings(request)


async def read_settings(config: Any, name: str = NAME) -> Any:
    return await config.GetSettings(config_pb2.GetSettingsRequest(name=name))


async def delete_settings(config: Any, name: str = NAME, **more: Any) -> None:
    await config.DeleteSettings(config_pb2.DeleteSettingsRequest(name=name, **more))


async def create(config: Any, secret: str = "token", value: bytes = b"one", **more: Any) -> Any:
    request = config_pb2.CreateSecretRequest(parent="orgs/acme", secret_id=secret, value=value, **more)
    return await config.CreateSecret(request)


async def rotate(config: Any, value: bytes = b"two", name: str = TOKEN, **more: Any) -> Any:
    return await config.RotateSecret(config_pb2.RotateSecretRequest(name=name, value=value, **more))


async def read(config: Any, name: str = TOKEN) -> Any:
    return await config.GetSecret(config_pb2.GetSecretRequest(name=name))


async def delete(config: Any, name: str = TOKEN, **more: Any) -> None:
    await config.DeleteSecret(config_pb2.DeleteSecretRequest(name=name, **more))


async def lease(runtime: Any, name: str = NAME) -> Any:
    return await runtime.CreateLease(config_pb2.CreateLeaseRequest(settings=name))


async def redeem(stub: Any, token: str) -> Any:
    return await stub.RedeemLease(config_pb2.RedeemLeaseRequest(token=token))


async def leased(runtime: Any) -> dict[str, bytes]:
    """The secrets that a new lease opens."""
    return dict((await redeem(runtime, (await lease(runtime)).token)).secrets)
