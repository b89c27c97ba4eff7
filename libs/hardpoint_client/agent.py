"""An agent as its own program sees it: actions of its own, and capabilities that come and go while it runs."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import agent_pb2, installation_pb2
from hardpoint_client.client import Hardpoint, new_request_id, output_of
from hardpoint_client.context import CallContext
from hardpoint_kit.errors import ActionFailed, AlreadyExists, Conflict, HardpointError, InvalidArgument, NotFound

OwnAction = Callable[..., Any] | Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """What came of an action: `data` when it worked, the `error` with reason, place and fix when it did not."""

    success: bool
    data: Any = None
    error: HardpointError | None = None
    run: str = ""
    """The record of the call, empty for the agent's own actions."""
    in_file: bool = False
    """Whether what came was too large and is stored: `data` is then `{file, schema, preview}`."""


class Agent:
    """An agent of the client's org, by id; `create` or the first `add_capability` makes it on the server.

    With `oversize_to_file` an output that is too large is stored, rather than an error.
    """

    def __init__(self, client: Hardpoint, agent_id: str, *, oversize_to_file: bool = False) -> None:
        self.id = agent_id
        self._oversize_to_file = oversize_to_file
        self.name = f"{client.org}/agents/{agent_id}"
        self._client = client
        self._own: dict[str, OwnAction] = {}

    async def create(self, display_name: str = "") -> None:
        """Make the agent on the server, unless it is there."""
        request = agent_pb2.CreateAgentRequest(
            parent=self._client.org,
            agent_id=self.id,
            agent=agent_pb2.Agent(display_name=display_name),
            request_id=new_request_id(),
        )
        try:
            await self._client.agents.CreateAgent(request)
        except AlreadyExists:
            return

    def register_action(self, name: str, function: OwnAction) -> None:
        """Give the agent an action of its own: a function of keyword arguments, plain or async."""
        self._own[name] = function

    async def execute(
        self, action: str, params: Mapping[str, Any] | None = None, *, context: CallContext | None = None
    ) -> AgentResponse:
        """Run "capability.action" if it is attached, else the agent's own action of that name.

        `context` is what the agent knows, and the capability may be shown.

        An error of the action is an answer, not an exception: a model can read it and do better. What an own action
        raised is the `__cause__` of the answer's error.
        """
        params = params or {}
        try:
            if "." in action:
                try:
                    response = await self._client.call(
                        self.id, action, params, oversize_to_file=self._oversize_to_file, context=context
                    )
                    if response.state:
                        raise _not_ended(response)
                    return AgentResponse(True, output_of(response), run=response.run, in_file=response.output_in_file)
                except (NotFound, InvalidArgument) as error:
                    if action not in self._own or not self._lacks_action(error):
                        raise
            return AgentResponse(True, await self._run_own(action, params))
        except HardpointError as error:
            return AgentResponse(False, error=error, run=error.metadata.get("run", ""))

    async def tools(self) -> Sequence[agent_pb2.Tool]:
        """The attached actions as tools for a model."""
        return await self._client.tools(self.id)

    async def add_capability(
        self,
        capability: str,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        grants: manifest_pb2.Authority | None = None,
    ) -> agent_pb2.Attachment:
        """Attach a capability: install it with `grants` unless the org has it, set what is given, switch it on.

        `capability` is its resource name, or an id of the agent's own org. What is attached already stays as it is.
        Raises AlreadyExists when another capability is installed under that id, and with `grants` when the org has
        installed this one: its grants are not an agent's to change.
        """
        await self.create()
        name = capability if "/" in capability else f"{self._client.org}/capabilities/{capability}"
        installation = name.rpartition("/")[2]
        try:
            await self._client.install(name, grants=grants)
        except AlreadyExists:
            if grants is not None:
                raise
            await self._check_installed(installation, name)
        if config:
            await self._client.set_settings(installation, config)
        for key, value in (secrets or {}).items():
            await self._client.set_secret(installation, key, value)
        try:
            return await self._client.attach(self.id, installation)
        except AlreadyExists:
            attachment = f"{self.name}/attachments/{installation}"
            return await self._client.agents.GetAttachment(agent_pb2.GetAttachmentRequest(name=attachment))

    async def remove_capability(self, capability: str) -> None:
        """Detach a capability: its actions are gone at once, the installation stays."""
        await self._client.detach(self.id, capability.rpartition("/")[2])

    async def _check_installed(self, installation: str, capability: str) -> None:
        """Raise AlreadyExists where another capability has the id: it must be given none of this one's secrets."""
        name = self._client.named("installations", installation)
        request = installation_pb2.GetInstallationRequest(name=name)
        found = (await self._client.installations.GetInstallation(request)).capability
        if found != capability:
            raise AlreadyExists(
                f"{installation} is an installation of another capability, {found}",
                fix="install this one under another id, and attach that installation",
                resource=name,
            )

    def _lacks_action(self, error: HardpointError) -> bool:
        """Whether the server says that no capability of this agent has the action, or that it knows no such agent."""
        unknown_agent = error.reason == "NOT_FOUND" and error.metadata.get("resource") == self.name
        return unknown_agent or error.reason in {"ACTION_NOT_ATTACHED", "ACTION_NAME_INVALID"}

    async def _run_own(self, action: str, params: Mapping[str, Any]) -> Any:
        function = self._own.get(action)
        if function is None:
            raise NotFound("action", action)
        try:
            result = function(**params)
            return await result if inspect.isawaitable(result) else result
        except HardpointError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise ActionFailed(f"{kind}: {error}", reason="USER_ERROR", name=kind) from error


def _not_ended(response: agent_pb2.CallActionResponse) -> Conflict:
    """What tells that a run goes on, or waits for somebody: it is no failure, and gave nothing yet."""
    return Conflict(
        response.message or "the run has not ended yet",
        reason=response.reason or "RUN_GOES_ON",
        fix="follow it: hardpoint watch, or WatchRun",
        run=response.run,
    )
