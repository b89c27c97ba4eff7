"""Owns ConfigService's edge: unpack, call, pack."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import struct_pb2

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint_config.connection import Client, Connection, Grant, Provider
from hardpoint_config.connections import Begun, Connections
from hardpoint_config.domain import LeasedValues, Secret, SecretValue, Settings, SettingsChange
from hardpoint_config.people import People
from hardpoint_config.service import ConfigService
from hardpoint_config.signatures import Proof, Scheme, Signed
from hardpoint_kit.caller import caller
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import ConnectionName, OrgName, SecretName, SettingsName
from hardpoint_kit.paging import fingerprint, query_fingerprint

Context = grpc.aio.ServicerContext[Any, Any]


class ConfigRpc(config_pb2_grpc.ConfigServiceServicer):
    """Serves hardpoint.config.v1.ConfigService."""

    def __init__(self, service: ConfigService, connections: Connections, people: People) -> None:
        self._service = service
        self._connections = connections
        self._people = people

    async def GetSettings(self, request: config_pb2.GetSettingsRequest, context: Context) -> config_pb2.Settings:
        settings = await self._service.get_settings(caller(context), SettingsName.parse(request.name))
        return settings_to_proto(settings)

    async def UpdateSettings(self, request: config_pb2.UpdateSettingsRequest, context: Context) -> config_pb2.Settings:
        settings = await self._service.update_settings(
            caller(context),
            SettingsName.parse(request.settings.name, "settings.name"),
            change_from_proto(request),
            request.settings.etag,
            request_fingerprint(request),
        )
        return settings_to_proto(settings)

    async def DeleteSettings(
        self, request: config_pb2.DeleteSettingsRequest, context: Context
    ) -> config_pb2.DeleteSettingsResponse:
        await self._service.delete_settings(
            caller(context), SettingsName.parse(request.name), request_fingerprint(request)
        )
        return config_pb2.DeleteSettingsResponse()

    async def CreateSecret(self, request: config_pb2.CreateSecretRequest, context: Context) -> config_pb2.Secret:
        secret = await self._service.create_secret(
            caller(context),
            SecretName(OrgName.parse(request.parent, "parent").org, request.secret_id),
            request.description,
            SecretValue(request.value),
            _fingerprint_without_value(request),
        )
        return secret_to_proto(secret)

    async def RotateSecret(self, request: config_pb2.RotateSecretRequest, context: Context) -> config_pb2.Secret:
        secret = await self._service.rotate_secret(
            caller(context),
            SecretName.parse(request.name),
            SecretValue(request.value),
            _fingerprint_without_value(request),
        )
        return secret_to_proto(secret)

    async def GetSecret(self, request: config_pb2.GetSecretRequest, context: Context) -> config_pb2.Secret:
        return secret_to_proto(await self._service.get_secret(caller(context), SecretName.parse(request.name)))

    async def ListSecrets(
        self, request: config_pb2.ListSecretsRequest, context: Context
    ) -> config_pb2.ListSecretsResponse:
        page = await self._service.list_secrets(
            caller(context),
            OrgName.parse(request.parent, "parent"),
            request.page_size,
            request.page_token,
            query_fingerprint(request),
        )
        return config_pb2.ListSecretsResponse(
            secrets=map(secret_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def DeleteSecret(
        self, request: config_pb2.DeleteSecretRequest, context: Context
    ) -> config_pb2.DeleteSecretResponse:
        await self._service.delete_secret(caller(context), SecretName.parse(request.name), request_fingerprint(request))
        return config_pb2.DeleteSecretResponse()

    async def OfferConnection(
        self, request: config_pb2.OfferConnectionRequest, context: Context
    ) -> config_pb2.Connection:
        name, provider = ConnectionName.parse(request.name), provider_from_proto(request.provider)
        return connection_to_proto(await self._connections.offer(caller(context), name, provider))

    async def BeginConnection(
        self, request: config_pb2.BeginConnectionRequest, context: Context
    ) -> config_pb2.BeginConnectionResponse:
        name, client = ConnectionName.parse(request.name), client_from_proto(request)
        return begun_to_proto(await self._connections.begin(caller(context), name, client, request.redirect_uri))

    async def CompleteConnection(
        self, request: config_pb2.CompleteConnectionRequest, context: Context
    ) -> config_pb2.Connection:
        connection = await self._connections.complete(
            caller(context),
            ConnectionName.parse(request.name),
            SecretValue(request.code.encode()),
            request.state,
            request.iss,
        )
        return connection_to_proto(connection)

    async def ConnectClient(self, request: config_pb2.ConnectClientRequest, context: Context) -> config_pb2.Connection:
        name, client = ConnectionName.parse(request.name), client_from_proto(request)
        return connection_to_proto(await self._connections.connect_client(caller(context), name, client))

    async def GetConnection(self, request: config_pb2.GetConnectionRequest, context: Context) -> config_pb2.Connection:
        return connection_to_proto(await self._connections.get(caller(context), ConnectionName.parse(request.name)))

    async def DeleteConnection(
        self, request: config_pb2.DeleteConnectionRequest, context: Context
    ) -> config_pb2.DeleteConnectionResponse:
        await self._connections.delete(
            caller(context), ConnectionName.parse(request.name), request_fingerprint(request)
        )
        return config_pb2.DeleteConnectionResponse()

    async def ConnectUsers(self, request: config_pb2.ConnectUsersRequest, context: Context) -> config_pb2.Connection:
        name, client = ConnectionName.parse(request.name), client_from_proto(request)
        changed = await self._people.connect_users(caller(context), name, client, request.redirect_uri)
        return connection_to_proto(changed)

    async def ListUserConnections(
        self, request: config_pb2.ListUserConnectionsRequest, context: Context
    ) -> config_pb2.ListUserConnectionsResponse:
        page = await self._people.of_users(
            caller(context),
            ConnectionName.parse(request.name),
            request.page_size,
            request.page_token,
            query_fingerprint(request),
        )
        return config_pb2.ListUserConnectionsResponse(
            connections=map(connection_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def DeleteUserConnection(
        self, request: config_pb2.DeleteUserConnectionRequest, context: Context
    ) -> config_pb2.DeleteUserConnectionResponse:
        await self._people.delete(
            caller(context), ConnectionName.parse(request.name), request.user, request_fingerprint(request)
        )
        return config_pb2.DeleteUserConnectionResponse()

    async def ListOwnConnections(
        self, request: config_pb2.ListOwnConnectionsRequest, context: Context
    ) -> config_pb2.ListOwnConnectionsResponse:
        page = await self._people.own(
            caller(context),
            OrgName.parse(request.parent, "parent"),
            request.page_size,
            request.page_token,
            query_fingerprint(request),
        )
        return config_pb2.ListOwnConnectionsResponse(
            connections=map(connection_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def BeginOwnConnection(
        self, request: config_pb2.BeginOwnConnectionRequest, context: Context
    ) -> config_pb2.BeginConnectionResponse:
        name = ConnectionName.parse(request.name)
        begun = await self._connections.begin(caller(context), name, None, request.redirect_uri, own=True)
        return begun_to_proto(begun)

    async def CompleteOwnConnection(
        self, request: config_pb2.CompleteOwnConnectionRequest, context: Context
    ) -> config_pb2.Connection:
        connection = await self._connections.complete(
            caller(context),
            ConnectionName.parse(request.name),
            SecretValue(request.code.encode()),
            request.state,
            request.iss,
            own=True,
        )
        return connection_to_proto(connection)

    async def DeleteOwnConnection(
        self, request: config_pb2.DeleteOwnConnectionRequest, context: Context
    ) -> config_pb2.DeleteConnectionResponse:
        who = caller(context)
        await self._people.delete(who, ConnectionName.parse(request.name), who.subject, request_fingerprint(request))
        return config_pb2.DeleteConnectionResponse()

    async def CreateLease(self, request: config_pb2.CreateLeaseRequest, context: Context) -> config_pb2.Lease:
        settings = SettingsName.parse(request.settings, "settings")
        lease = await self._service.create_lease(caller(context), settings, request.user, request.signer)
        return config_pb2.Lease(token=lease.token, expire_time=lease.expire_time, per_user=lease.per_user)

    async def RedeemLease(self, request: config_pb2.RedeemLeaseRequest, _context: Context) -> config_pb2.LeasedValues:
        return leased_to_proto(await self._service.redeem_lease(request.token))

    async def VerifySignature(
        self, request: config_pb2.VerifySignatureRequest, context: Context
    ) -> config_pb2.VerifySignatureResponse:
        settings = SettingsName.parse(request.settings, "settings")
        proof = await self._service.verify_signature(caller(context), settings, request.key, signed_from(request))
        return proof_to_proto(proof)

    async def WatchChanges(
        self, _request: config_pb2.WatchChangesRequest, _context: Context
    ) -> AsyncIterator[config_pb2.WatchChangesResponse]:
        async for names in self._service.watch_changes():
            yield config_pb2.WatchChangesResponse(settings=names)


def change_from_proto(request: config_pb2.UpdateSettingsRequest) -> SettingsChange:
    """Read what an update asks for."""
    return SettingsChange(
        values={key: json_from_proto(value) for key, value in request.settings.values.fields.items()},
        secrets={
            key: SecretName.parse(name, f"settings.secrets.{key}") for key, name in request.settings.secrets.items()
        },
        mask=tuple(request.update_mask.paths),
    )


def settings_to_proto(settings: Settings) -> config_pb2.Settings:
    """Write a settings document."""
    return config_pb2.Settings(
        name=str(settings.name),
        values=settings.values,
        secrets={key: str(secret) for key, secret in settings.secrets.items()},
        update_time=settings.update_time,
        etag=settings.etag,
        connected_key=settings.connected_key,
    )


def provider_from_proto(provider: config_pb2.Provider) -> Provider:
    """Read where one signs in."""
    return Provider(
        provider.setting,
        Grant(provider.grant),
        provider.authorization_url,
        provider.token_url,
        tuple(provider.scopes),
        provider.revocation_url,
    )


def client_from_proto(
    request: config_pb2.BeginConnectionRequest | config_pb2.ConnectClientRequest | config_pb2.ConnectUsersRequest,
) -> Client | None:
    """Read a client that is given; None for the one that is kept."""
    for field, value in (("client_id", request.client_id.encode()), ("client_secret", request.client_secret)):
        if not value.isascii() or not value.decode("latin-1").isprintable():
            raise InvalidArgument({field: "holds something else than printable ASCII"})
    if not request.client_id:
        return None
    return Client(request.client_id, SecretValue(request.client_secret) if request.client_secret else None)


def begun_to_proto(begun: Begun) -> config_pb2.BeginConnectionResponse:
    """Write where a person signs in."""
    return config_pb2.BeginConnectionResponse(authorization_url=begun.url, expire_time=begun.expire_time)


def connection_to_proto(connection: Connection) -> config_pb2.Connection:
    """Write what is known of a connection."""
    provider = connection.provider
    return config_pb2.Connection(
        name=str(connection.name),
        state=f"CONNECTION_STATE_{connection.state}",
        provider=config_pb2.Provider(
            setting=provider.setting,
            grant=provider.grant,
            authorization_url=provider.authorization_url,
            token_url=provider.token_url,
            scopes=provider.scopes,
            revocation_url=provider.revocation_url,
        ),
        client_id=connection.client_id,
        has_client_secret=connection.has_client_secret,
        scopes=connection.scopes,
        expire_time=connection.expires_at,
        connect_time=connection.connected_at,
        subject=connection.subject,
        per_user=connection.per_user,
        user=connection.owner,
    )


def signed_from(request: config_pb2.VerifySignatureRequest) -> Signed:
    """Read a delivery that may be signed."""
    scheme = Scheme(config_pb2.SignatureScheme.Name(request.scheme).removeprefix("SIGNATURE_SCHEME_"))
    return Signed(scheme, dict(request.headers), request.body, request.header, request.timestamp_header)


def proof_to_proto(proof: Proof) -> config_pb2.VerifySignatureResponse:
    """Write what is to be said of it."""
    return config_pb2.VerifySignatureResponse(
        verdict=f"SIGNATURE_VERDICT_{proof.verdict}", digest=proof.digest, timed=proof.timed
    )


def secret_to_proto(secret: Secret) -> config_pb2.Secret:
    """Write what is known of a secret."""
    return config_pb2.Secret(
        name=str(secret.name),
        description=secret.description,
        version=secret.version,
        create_time=secret.create_time,
        rotate_time=secret.rotate_time,
        etag=secret.etag,
    )


def leased_to_proto(leased: LeasedValues) -> config_pb2.LeasedValues:
    """Write the values of a lease, secrets in plain: the one place where they leave the unit."""
    return config_pb2.LeasedValues(
        values=leased.values,
        secrets={key: value.reveal() for key, value in leased.secrets.items()},
        expire_time=leased.expire_time,
    )


def json_from_proto(value: struct_pb2.Value) -> Any:
    """Read a JSON value; a number without a fraction becomes an int, as the sender meant it."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: json_from_proto(inner) for key, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [json_from_proto(inner) for inner in value.list_value.values]
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    return None if kind in (None, "null_value") else getattr(value, kind)


def _fingerprint_without_value(request: config_pb2.CreateSecretRequest | config_pb2.RotateSecretRequest) -> str:
    """Tell the request from others but for its value, a hash of which would let readers of the table guess it."""
    return fingerprint(request, "request_id", "value")
