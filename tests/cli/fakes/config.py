"""The config service: settings and secrets."""

import secrets
from urllib.parse import urlencode

from hardpoint.config.v1 import config_pb2, config_pb2_grpc
from hardpoint_kit.errors import AlreadyExists, Conflict

from .world import Fake, known


class Config(Fake, config_pb2_grpc.ConfigServiceServicer):
    async def GetSettings(self, request, context):
        self.world.ask("GetSettings", request)
        return self.world.settings.get(request.name, config_pb2.Settings(name=request.name))

    async def UpdateSettings(self, request, context):
        self.world.ask("UpdateSettings", request)
        name = request.settings.name
        found = self.world.settings.setdefault(name, config_pb2.Settings(name=name))
        found.MergeFrom(request.settings)
        for path in request.update_mask.paths:
            part, _, key = path.partition(".")
            kept = found.secrets if part == "secrets" else found.values.fields
            if key not in (request.settings.secrets if part == "secrets" else request.settings.values.fields):
                kept.pop(key, None)
        return found

    async def CreateSecret(self, request, context):
        self.world.ask("CreateSecret", request)
        name = f"{request.parent}/secrets/{request.secret_id}"
        if name in self.world.secrets:
            raise AlreadyExists("is there", resource=name)
        self.world.secrets[name] = config_pb2.Secret(name=name, description=request.description, version=1)
        self.world.secret_values[name] = request.value
        return self.world.secrets[name]

    async def RotateSecret(self, request, context):
        self.world.ask("RotateSecret", request)
        found = known(self.world.secrets, "secret", request.name)
        found.version += 1
        self.world.secret_values[request.name] = request.value
        return found

    async def DeleteSecret(self, request, context):
        self.world.ask("DeleteSecret", request)
        known(self.world.secrets, "secret", request.name)
        if [one for one in self.world.settings.values() if request.name in one.secrets.values()]:
            raise Conflict("is used", reason="SECRET_IN_USE")
        del self.world.secrets[request.name]
        return config_pb2.DeleteSecretResponse()

    async def ListSecrets(self, request, context):
        self.world.ask("ListSecrets", request)
        return config_pb2.ListSecretsResponse(secrets=self.world.secrets.values())

    async def GetConnection(self, request, context):
        self.world.ask("GetConnection", request)
        return known(self.world.connections, "connection", request.name)

    async def BeginConnection(self, request, context):
        self.world.ask("BeginConnection", request)
        found = known(self.world.connections, "connection", request.name)
        query = {"client_id": request.client_id, "redirect_uri": request.redirect_uri, "state": secrets.token_hex(8)}
        return config_pb2.BeginConnectionResponse(
            authorization_url=f"{found.provider.authorization_url}?{urlencode(query)}"
        )

    async def CompleteConnection(self, request, context):
        self.world.ask("CompleteConnection", request)
        return self._connected(request.name)

    async def ConnectClient(self, request, context):
        self.world.ask("ConnectClient", request)
        return self._connected(request.name)

    async def DeleteConnection(self, request, context):
        self.world.ask("DeleteConnection", request)
        del self.world.connections[request.name]
        return config_pb2.DeleteConnectionResponse()

    def _connected(self, name):
        found = known(self.world.connections, "connection", name)
        found.state = config_pb2.CONNECTION_STATE_ACTIVE
        return found
