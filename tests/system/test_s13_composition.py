"""S13: what a capability calls reaches no more than its caller was granted, and the record says who held it back."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import installation_pb2, run_pb2

from .conftest import System, add_file, eventually

pytestmark = pytest.mark.jail

B = """
from hardpoint_sdk import action, capability

@capability(id="notifier", name="Notifier", version="1.0.0", description="Posts", hosts=["upstream.test"],
            permissions=["network.http.post", "compute.moderate"])
class Notifier:
    @action(inputs=[{"name": "url", "type": "string", "required": True}], effect="write")
    async def notify(self, input):
        return (await self.fetch(input["url"], method="POST", json={"hello": 1})).status
"""
A = """
from hardpoint_sdk import action, capability

@capability(id="reporter", name="Reporter", version="1.0.0", description="Reports", hosts=["upstream.test"],
            permissions=PERMISSIONS, calls=["notifier.notify"])
class Reporter:
    @action
    async def report(self, input):
        return {"status": await self.call("notifier.notify", {"url": input["url"]})}

    @action
    async def careful(self, input):
        try:
            return await self.call("notifier.notify", {"url": input["url"]})
        except Exception as error:
            return {"refused": error.code}
"""
WITH_GRANT = '["network.http.post", "compute.moderate"]'
WITHOUT_GRANT = '["compute.moderate"]'


async def steps_of(client, run: str) -> list:
    return list((await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run))).steps)


async def test_b_reaches_no_more_than_a(system: System, client, agent) -> None:
    url = system.upstream.serve((200, {}))
    await add_file(client, agent, B.encode(), "notifier.py")
    await add_file(client, agent, A.replace("PERMISSIONS", WITHOUT_GRANT).encode(), "reporter.py")
    assert (await agent.execute("notifier.notify", {"url": url})).data == 200

    denied = await agent.execute("reporter.report", {"url": url})
    assert denied.error is not None
    assert denied.error.reason == "PERMISSION_NOT_GRANTED"
    assert denied.error.message == "network.http.post is not granted to caller reporter"
    assert 'the author of reporter has to declare "network.http.post"' in denied.error.fix
    assert len(system.upstream.asked(url)) == 1
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=denied.error.metadata["run"]))
    assert run.facts["permission"] == "network.http.post"
    assert run.facts["callee"] == "notifier.notify"
    (step,) = await steps_of(client, run.name)
    assert (step.path, step.action, step.reason) == ("notifier.notify", "notifier.notify", "PERMISSION_NOT_GRANTED")
    assert (await agent.execute("reporter.careful", {"url": url})).data == {"refused": "PERMISSION_NOT_GRANTED"}


MAILER = """
from hardpoint_sdk import action, capability

@capability(id="mailer", name="Mailer", version="1.0.0", description="Mails",
            permissions=["integration.email", "compute.moderate"])
class Mailer:
    @action(effect="write")
    async def mail(self, input):
        return await self.email.send(to="boss@example.com", subject="Hello", body="It is done")
"""
MAILS = """
export default {
  id: 'teller', name: 'Teller', version: '1.0.0', description: 'Tells', calls: ['mailer.mail'],
  permissions: ['compute.moderate'],
  actions: { async tell() { return this.call('mailer.mail', {}); } }
};
"""


async def test_b_does_not_mail_for_a_that_may_not(client, agent) -> None:
    await add_file(client, agent, MAILER.encode(), "mailer.py", secrets={"SMTP_URL": "smtps://u:p@mail.example.com"})
    await client.set_settings("mailer", {"EMAIL_FROM": "robot@example.com"})
    await add_file(client, agent, MAILS.encode(), "teller.js")
    denied = await agent.execute("teller.tell")
    assert denied.error is not None
    assert denied.error.reason == "PERMISSION_NOT_GRANTED"
    assert denied.error.message == "integration.email is not granted to caller teller"


async def test_with_the_grant_it_does_and_only_as_long(system: System, client, agent) -> None:
    url = system.upstream.serve((200, {}))
    await add_file(client, agent, B.encode(), "notifier.py")
    await add_file(client, agent, A.replace("PERMISSIONS", WITH_GRANT).encode(), "reporter.py")
    # On a machine that is busy two slots may not start within the second that a call waits for one.
    assert (await agent.execute("notifier.notify", {"url": system.upstream.serve((200, {}))})).data == 200
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("turn") as turn:
        done = await agent.execute("reporter.report", {"url": url})
    assert done.error is None, done.error
    assert done.data == {"status": 200}
    run = await client.runs.GetRun(run_pb2.GetRunRequest(name=done.run))
    (step,) = await steps_of(client, done.run)
    assert (step.state, step.release) == (
        run_pb2.RUN_STATE_SUCCEEDED,
        f"{client.org}/capabilities/notifier/releases/1.0.0",
    )
    assert (step.usage.broker_calls, run.usage.broker_calls) == (1, 1)
    assert run.usage.cpu_ms > step.usage.cpu_ms > 0

    trace_id = trace.format_trace_id(turn.get_span_context().trace_id)
    await eventually(lambda: _has(system, trace_id))
    spans = system.receiver.trace(trace_id)
    by_id = {span.id: span for span in spans}
    inner = next(span for span in spans if span.name == "execute_tool notifier.notify")
    above = [inner.name]
    while (span := by_id.get(inner.parent)) is not None:
        above.append(span.name)
        inner = span
    assert "jail python" in above
    assert "execute_tool reporter.report" in above

    b = installation_pb2.GetInstallationRequest(name=client.named("installations", "notifier"))
    uses = {use.grant: use.execution_count for use in (await client.installations.GetInstallation(b)).grant_uses}
    assert uses["network.http.post"] == 2
    a = installation_pb2.UpdateInstallationRequest(
        installation=installation_pb2.Installation(
            name=client.named("installations", "reporter"),
            grants=manifest_pb2.Authority(permissions=["compute.moderate"], hosts=["upstream.test"]),
        ),
        update_mask={"paths": ["grants"]},
    )
    await client.installations.UpdateInstallation(a)
    denied = await agent.execute("reporter.report", {"url": url})
    assert denied.error is not None
    assert denied.error.message == "network.http.post is not granted to caller reporter"
    assert denied.error.fix == 'grant "network.http.post" to the installation of reporter'
    assert len(system.upstream.asked(url)) == 1


async def _has(system: System, trace_id: str) -> bool:
    whole = ("executor", "ExecuteToEnd"), ("runtime", "CallAction")
    return all(system.receiver.has(trace_id, system.service(unit), span) for unit, span in whole)


async def test_what_is_not_installed_is_missed_only_when_it_is_called(system: System, client, agent) -> None:
    await add_file(client, agent, A.replace("PERMISSIONS", WITH_GRANT).encode(), "reporter.py")
    assert (await agent.execute("reporter.careful", {"url": "x"})).data == {"refused": "CALLEE_NOT_INSTALLED"}
    failed = await agent.execute("reporter.report", {"url": "x"})
    assert failed.error is not None
    assert failed.error.message == "notifier.notify cannot be called: notifier is not installed"
    await add_file(client, agent, B.encode(), "notifier.py")
    url = system.upstream.serve((200, {}))
    assert (await agent.execute("reporter.report", {"url": url})).data == {"status": 200}
