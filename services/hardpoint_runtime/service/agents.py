"""Owns what operators do with agents and with what is attached to them."""

from collections.abc import Iterable

from hardpoint_kit.caller import Caller
from hardpoint_kit.clock import Clock
from hardpoint_kit.masks import check_etag
from hardpoint_kit.names import AgentName, AttachmentName, InstallationName, OrgName
from hardpoint_kit.paging import Page
from hardpoint_runtime.domain.agents import Agent
from hardpoint_runtime.domain.attachments import Attachment, AttachmentView
from hardpoint_runtime.domain.paging import Window
from hardpoint_runtime.peers import Config
from hardpoint_runtime.service.settings import configured
from hardpoint_runtime.service.standard import Standard
from hardpoint_runtime.store import Store, Transaction


class Agents:
    """Agents and attachments; `fingerprint` tells a write request from others with the same request id."""

    def __init__(self, store: Store, config: Config, standard: Standard, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._standard = standard
        self._clock = clock

    async def create_agent(
        self, caller: Caller, name: AgentName, display_name: str, description: str, fingerprint: str
    ) -> Agent:
        """Make an agent; raises AlreadyExists."""

        async def create(tx: Transaction) -> Agent:
            agent = Agent.new(name, display_name, description, self._clock.now())
            await tx.agents.add(agent)
            await tx.audit("agent.create", name)
            return agent

        return await self._store.once(caller, "CreateAgent", fingerprint, Agent, create)

    async def get_agent(self, caller: Caller, name: AgentName) -> Agent:
        """Return an agent; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            return await tx.agents.get(name)

    async def list_agents(self, caller: Caller, parent: OrgName, window: Window) -> Page[Agent]:
        """Return a page of agents by name."""
        async with self._store.transaction(caller) as tx:
            return window.page(await tx.agents.within(parent.org, window), lambda agent: agent.name.agent)

    async def update_agent(
        self,
        caller: Caller,
        name: AgentName,
        display_name: str,
        description: str,
        mask: Iterable[str],
        etag: str,
        fingerprint: str,
    ) -> Agent:
        """Change an agent's texts; raises NotFound, StaleEtag."""

        async def update(tx: Transaction) -> Agent:
            agent = await tx.agents.get(name, lock=True)
            check_etag(etag, agent.revision.etag)
            agent = agent.described(display_name, description, mask, self._clock.now())
            await tx.agents.save(agent)
            await tx.audit("agent.update", name)
            return agent

        return await self._store.once(caller, "UpdateAgent", fingerprint, Agent, update)

    async def pause_agent(self, caller: Caller, name: AgentName, fingerprint: str) -> Agent:
        """Refuse the agent's calls from now on; raises NotFound, Conflict."""

        async def pause(tx: Transaction) -> Agent:
            agent = (await tx.agents.get(name, lock=True)).paused(self._clock.now())
            await tx.agents.save(agent)
            await tx.audit("agent.pause", name)
            await tx.tell(name)
            return agent

        return await self._store.once(caller, "PauseAgent", fingerprint, Agent, pause)

    async def resume_agent(self, caller: Caller, name: AgentName, fingerprint: str) -> Agent:
        """Admit the agent's calls again; raises NotFound, Conflict."""

        async def resume(tx: Transaction) -> Agent:
            agent = (await tx.agents.get(name, lock=True)).resumed(self._clock.now())
            await tx.agents.save(agent)
            await tx.audit("agent.resume", name)
            await tx.tell(name)
            return agent

        return await self._store.once(caller, "ResumeAgent", fingerprint, Agent, resume)

    async def delete_agent(self, caller: Caller, name: AgentName, fingerprint: str) -> None:
        """Remove an agent with its attachments; its runs stay. Raises NotFound."""

        async def delete(tx: Transaction) -> None:
            await tx.agents.delete(name)
            await tx.audit("agent.delete", name)
            await tx.tell(name)

        await self._store.once(caller, "DeleteAgent", fingerprint, type(None), delete)

    async def attach_capability(
        self,
        caller: Caller,
        agent: AgentName,
        installation: InstallationName,
        priority: int,
        require_approval: Iterable[str],
        fingerprint: str,
    ) -> AttachmentView:
        """Switch an installation on for an agent: callable when this returns, at other processes within two seconds.

        Raises NotFound (also for an action to approve), AlreadyExists, Conflict INSTALLATION_DISABLED or
        SETTINGS_MISSING.
        """
        await self._standard.ensure(caller)
        async with self._store.transaction(caller) as tx:
            await tx.agents.get(agent)
            release = (await tx.installations.get(installation)).installation.release
        keys = await configured(self._config, installation, release)

        async def attach(tx: Transaction) -> AttachmentView:
            await tx.agents.get(agent, lock=True)
            attached = (await tx.installations.get(installation, lock=True)).installation
            attached.check_attachable()
            attached.release.check_settings(keys, installation.installation)
            for action in require_approval:
                attached.release.action(action)
            attachment = Attachment.new(agent, installation, priority, require_approval, self._clock.now())
            await tx.attachments.add(attachment)
            await tx.audit(
                "capability.attach",
                attachment.name,
                release=attached.release.name,
                require_approval=",".join(attachment.require_approval),
            )
            await tx.tell(agent)
            return AttachmentView(attachment, attached.release.name)

        return await self._store.once(caller, "AttachCapability", fingerprint, AttachmentView, attach)

    async def get_attachment(self, caller: Caller, name: AttachmentName) -> AttachmentView:
        """Return an attachment; raises NotFound."""
        async with self._store.transaction(caller) as tx:
            return await tx.attachments.get(name)

    async def list_attachments(self, caller: Caller, agent: AgentName, window: Window) -> Page[AttachmentView]:
        """Return a page of an agent's attachments by name; raises NotFound for the agent."""
        async with self._store.transaction(caller) as tx:
            await tx.agents.get(agent)
            found = await tx.attachments.within(agent, window)
            return window.page(found, lambda view: view.attachment.name.attachment)

    async def update_attachment(
        self,
        caller: Caller,
        name: AttachmentName,
        enabled: bool,
        priority: int,
        require_approval: Iterable[str],
        mask: Iterable[str],
        etag: str,
        fingerprint: str,
    ) -> AttachmentView:
        """Switch an attachment on or off, rank it, or have its actions approved; raises NotFound, StaleEtag.

        What is approved from now on is an action of its release.
        """

        async def update(tx: Transaction) -> AttachmentView:
            view = await tx.attachments.get(name, lock=True)
            check_etag(etag, view.attachment.revision.etag)
            attachment = view.attachment.changed(enabled, priority, require_approval, mask, self._clock.now())
            if added := set(attachment.require_approval) - set(view.attachment.require_approval):
                release = (await tx.installations.get(attachment.installation)).installation.release
                for action in sorted(added):
                    release.action(action)
            await tx.attachments.save(attachment)
            await tx.audit(
                "attachment.update",
                name,
                enabled=attachment.enabled,
                priority=attachment.priority,
                require_approval=",".join(attachment.require_approval),
            )
            await tx.tell(name.agent_name)
            return AttachmentView(attachment, view.release, view.counters)

        return await self._store.once(caller, "UpdateAttachment", fingerprint, AttachmentView, update)

    async def detach_capability(self, caller: Caller, name: AttachmentName, fingerprint: str) -> None:
        """Switch an installation off for an agent: a running call ends normally, the next is refused.

        Raises NotFound.
        """

        async def detach(tx: Transaction) -> None:
            await tx.attachments.delete(name, self._clock.now())
            await tx.audit("capability.detach", name)
            await tx.tell(name.agent_name)

        await self._store.once(caller, "DetachCapability", fingerprint, type(None), detach)
