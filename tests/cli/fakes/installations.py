"""The installations of the runtime."""

from hardpoint.config.v1 import config_pb2
from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import installation_pb2, installation_pb2_grpc
from hardpoint_kit.errors import AlreadyExists, Conflict

from .world import Fake, known


class Installations(Fake, installation_pb2_grpc.InstallationServiceServicer):
    async def CreateInstallation(self, request, context):
        self.world.ask("CreateInstallation", request)
        capability = known(self.world.capabilities, "capability", request.capability)
        name = f"{request.parent}/installations/{request.installation_id or capability.name.rpartition('/')[2]}"
        if name in self.world.installations:
            raise AlreadyExists("is installed", resource=name)
        pinned = self.world.releases[f"{capability.name}/releases/{capability.latest_version}"]
        asked = pinned.manifest.authority
        made = installation_pb2.Installation(
            name=name,
            capability=capability.name,
            constraint=request.constraint,
            release=pinned.name,
            grants=request.grants,
            ungranted=manifest_pb2.Authority(
                permissions=[one for one in asked.permissions if one not in request.grants.permissions],
                hosts=[one for one in asked.hosts if one not in request.grants.hosts],
            ),
            state=installation_pb2.INSTALLATION_STATE_ACTIVE,
            own_name=request.own_name,
            missing_settings=[one for one in pinned.manifest.requirements if one.required],
        )
        if not request.validate_only:
            self.world.installations[name] = made
        return made

    async def GetInstallation(self, request, context):
        self.world.ask("GetInstallation", request)
        return known(self.world.installations, "installation", request.name)

    async def ListInstallations(self, request, context):
        self.world.ask("ListInstallations", request)
        return installation_pb2.ListInstallationsResponse(installations=self.world.installations.values())

    async def UpdateInstallation(self, request, context):
        self.world.ask("UpdateInstallation", request)
        found = known(self.world.installations, "installation", request.installation.name)
        request.update_mask.MergeMessage(request.installation, found, replace_message_field=True)
        return found

    async def DisableInstallation(self, request, context):
        self.world.ask("DisableInstallation", request)
        found = known(self.world.installations, "installation", request.name)
        found.state = installation_pb2.INSTALLATION_STATE_DISABLED
        return found

    async def EnableInstallation(self, request, context):
        self.world.ask("EnableInstallation", request)
        found = known(self.world.installations, "installation", request.name)
        found.state = installation_pb2.INSTALLATION_STATE_ACTIVE
        return found

    async def DeleteInstallation(self, request, context):
        self.world.ask("DeleteInstallation", request)
        known(self.world.installations, "installation", request.name)
        if used := [name for name in self.world.attachments if name.endswith(request.name.rpartition("/")[2])]:
            raise Conflict(f"still attached: {used[0]}", fix="detach it first")
        del self.world.installations[request.name]
        return installation_pb2.DeleteInstallationResponse()

    async def OfferConnection(self, request, context):
        self.world.ask("OfferConnection", request)
        found = known(self.world.installations, "installation", request.name)
        name = found.name.replace("/installations/", "/connections/")
        provider = config_pb2.Provider(
            setting="API_KEY",
            grant=self.world.grant,
            authorization_url="https://id.example.com/authorize",
            token_url="https://id.example.com/token",
        )
        made = config_pb2.Connection(name=name, state=config_pb2.CONNECTION_STATE_PENDING, provider=provider)
        self.world.connections.setdefault(name, made)
        return installation_pb2.OfferConnectionResponse(connection=name)
