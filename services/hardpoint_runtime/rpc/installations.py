"""Owns InstallationService on the wire."""

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import installation_pb2, installation_pb2_grpc
from hardpoint_kit.caller import caller
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.names import CapabilityName, InstallationName, OrgName
from hardpoint_runtime.domain.installations import InstallationView, Patch
from hardpoint_runtime.domain.releases import OAuth2, grants_of
from hardpoint_runtime.rpc.shared import Context, authority_to_proto, counters_to_proto, requirements_to_proto, window
from hardpoint_runtime.service.installations import Installations


class InstallationRpc(installation_pb2_grpc.InstallationServiceServicer):
    """InstallationService over the use cases of installations."""

    def __init__(self, installations: Installations) -> None:
        self._installations = installations

    async def CreateInstallation(
        self, request: installation_pb2.CreateInstallationRequest, context: Context
    ) -> installation_pb2.Installation:
        """Make a capability usable."""
        capability = CapabilityName.parse(request.capability, "capability")
        parent = OrgName.parse(request.parent, "parent")
        view = await self._installations.create_installation(
            caller(context),
            InstallationName(parent.org, request.installation_id or capability.capability),
            capability,
            request.constraint,
            grants_of(request.grants.permissions, request.grants.hosts),
            request.own_name,
            request.validate_only,
            request_fingerprint(request),
        )
        return installation_to_proto(view)

    async def GetInstallation(
        self, request: installation_pb2.GetInstallationRequest, context: Context
    ) -> installation_pb2.Installation:
        """Show an installation."""
        name = InstallationName.parse(request.name)
        return installation_to_proto(await self._installations.get_installation(caller(context), name))

    async def ListInstallations(
        self, request: installation_pb2.ListInstallationsRequest, context: Context
    ) -> installation_pb2.ListInstallationsResponse:
        """Show a page of installations."""
        parent = OrgName.parse(request.parent, "parent")
        page = await self._installations.list_installations(caller(context), parent, window(request, request))
        return installation_pb2.ListInstallationsResponse(
            installations=map(installation_to_proto, page.items), next_page_token=page.next_page_token
        )

    async def UpdateInstallation(
        self, request: installation_pb2.UpdateInstallationRequest, context: Context
    ) -> installation_pb2.Installation:
        """Change grants, or pin anew."""
        given = request.installation
        view = await self._installations.update_installation(
            caller(context),
            InstallationName.parse(given.name, "installation.name"),
            Patch(grants_of(given.grants.permissions, given.grants.hosts), given.constraint),
            request.update_mask.paths,
            given.etag,
            request_fingerprint(request),
        )
        return installation_to_proto(view)

    async def DisableInstallation(
        self, request: installation_pb2.DisableInstallationRequest, context: Context
    ) -> installation_pb2.Installation:
        """Close an installation to every agent."""
        name = InstallationName.parse(request.name)
        view = await self._installations.disable_installation(caller(context), name, request_fingerprint(request))
        return installation_to_proto(view)

    async def EnableInstallation(
        self, request: installation_pb2.EnableInstallationRequest, context: Context
    ) -> installation_pb2.Installation:
        """Open an installation to its agents."""
        name = InstallationName.parse(request.name)
        view = await self._installations.enable_installation(caller(context), name, request_fingerprint(request))
        return installation_to_proto(view)

    async def DeleteInstallation(
        self, request: installation_pb2.DeleteInstallationRequest, context: Context
    ) -> installation_pb2.DeleteInstallationResponse:
        """Remove an installation."""
        name = InstallationName.parse(request.name)
        await self._installations.delete_installation(caller(context), name, request_fingerprint(request))
        return installation_pb2.DeleteInstallationResponse()

    async def OfferConnection(
        self, request: installation_pb2.OfferConnectionRequest, context: Context
    ) -> installation_pb2.OfferConnectionResponse:
        """Tell config where one signs in."""
        name = InstallationName.parse(request.name)
        connection, oauth2 = await self._installations.offer_connection(caller(context), name)
        return installation_pb2.OfferConnectionResponse(connection=str(connection), oauth2=oauth2_to_proto(oauth2))


def oauth2_to_proto(oauth2: OAuth2) -> manifest_pb2.OAuth2:
    """Write how one signs in."""
    return manifest_pb2.OAuth2(
        setting=oauth2.setting,
        grant=oauth2.grant,
        authorization_url=oauth2.authorization_url,
        token_url=oauth2.token_url,
        scopes=oauth2.scopes,
        pkce=oauth2.pkce,
        revocation_url=oauth2.revocation_url,
    )


def installation_to_proto(view: InstallationView) -> installation_pb2.Installation:
    """Write an installation."""
    installation = view.installation
    return installation_pb2.Installation(
        name=str(installation.name),
        capability=str(installation.capability),
        constraint=installation.constraint,
        release=str(installation.release.name),
        grants=authority_to_proto(installation.grants),
        ungranted=authority_to_proto(installation.ungranted),
        state=f"INSTALLATION_STATE_{installation.state}",
        missing_settings=requirements_to_proto(view.missing),
        counters=counters_to_proto(view.counters),
        create_time=installation.revision.created_at,
        update_time=installation.revision.updated_at,
        etag=installation.revision.etag,
        grant_uses=[
            installation_pb2.GrantUse(grant=use.grant, execution_count=use.executions, last_used=use.last_used)
            for use in view.grant_uses
        ],
        grant_time=installation.granted_at,
        own_name=installation.own_name,
    )
