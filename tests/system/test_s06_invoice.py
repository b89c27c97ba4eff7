"""S06 and S07: the design document's invoice workflow, byte for byte: a PDF becomes a row and a mail.

Killed while it stores, it goes on where it was: still one row and one mail.
"""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from demo.upstreams import Asked
from sqlalchemy import make_url

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_client import Agent, Hardpoint
from hardpoint_kit.documents import from_struct
from hardpoint_kit.errors import Unavailable
from standard import documents
from standard.documents import INVOICE

from .conftest import (
    DATABASE,
    EXAMPLES,
    MAIL,
    MAIL_PASSWORD,
    System,
    add_file,
    eventually,
)
from .orders import ENDED, orders, start, until
from .test_s01_create_and_call import run_cli

pytestmark = pytest.mark.jail
READ = {"number": "INV-2024-0815", "amount": 1234.56, "vendor": "Muster Werkzeuge GmbH", "date": "2024-03-15"}
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["number", "amount"],
}
TABLE = "CREATE TABLE invoices (number text, amount numeric, vendor text, date date)"
STEPS = ["ocr.extract", "ai.analyze", "validate.schema", "database.insert", "email.send"]


@dataclass
class Ledger:
    """The organisation's database: its URL as the organisation sets it, and a connection that looks into it."""

    url: str
    look: psycopg.AsyncConnection

    async def rows(self) -> list[Any]:
        """What was stored."""
        return await (await self.look.execute("SELECT number, amount::text, vendor FROM invoices")).fetchall()

    async def waited_for(self) -> bool:
        """Whether somebody waits for a lock on the table."""
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'invoices'::regclass"
        return (await (await self.look.execute(waiting)).fetchone()) != (0,)


@pytest.fixture
async def ledger(database_url: Callable[..., Awaitable[str]]) -> AsyncIterator[Ledger]:
    made = make_url(await database_url()).set(drivername="postgresql")
    place = made.render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(place, autocommit=True) as look:
        await look.execute(TABLE)
        yield Ledger(made.set(host=DATABASE, port=5432).render_as_string(hide_password=False), look)


def model(asked: Asked) -> tuple[int, object]:
    """A model that reads the invoice off its text, or makes something up without it."""
    said = READ if b"INV-2024-0815" in asked.body else {"number": "unknown"}
    return 200, {"choices": [{"message": {"content": json.dumps(said)}}], "usage": {}}


async def install(client: Hardpoint, agent: Agent, ledger: Ledger, model_url: str) -> None:
    """What an organisation does once: its services, the workflow, and that uploads start it."""
    for name in ("ocr", "validate", "ai", "database", "email", "notify"):
        await client.attach(agent.id, name)
    await client.set_secret("database", "DATABASE_URL", ledger.url)
    await client.set_settings("database", {"DATABASE_TABLES": "invoices"})
    await client.set_secret("ai", "AI_KEY", "model-key-3c1b")
    await client.set_settings("ai", {"AI_URL": model_url, "AI_MODEL": "small"})
    for mailer in ("email", "notify"):
        await client.set_secret(mailer, "SMTP_URL", f"smtp://ada:{MAIL_PASSWORD}@{MAIL}")
        await client.set_settings(mailer, {"EMAIL_FROM": "agents@example.com"})
    await client.set_settings("notify", {"EMAIL_FROM": "agents@example.com", "ADMIN_EMAIL": "root@example.com"})
    name = "invoice-processor.yaml"
    settings = {"invoice_schema": SCHEMA}
    await add_file(client, agent, (EXAMPLES / name).read_bytes(), name, settings=settings)
    declared = trigger_pb2.Trigger(declared="invoice-processor.file_upload")
    await client.triggers.CreateTrigger(
        trigger_pb2.CreateTriggerRequest(
            parent=agent.name, trigger_id="invoices", trigger=declared, request_id=uuid.uuid4().hex
        )
    )


async def deliveries(client: Hardpoint, agent: Agent) -> list[trigger_pb2.Delivery]:
    """What came to the trigger, the newest first."""
    ask = trigger_pb2.ListDeliveriesRequest(parent=f"{agent.name}/triggers/invoices")
    return list((await client.triggers.ListDeliveries(ask)).deliveries)


async def the_run(client: Hardpoint, agent: Agent) -> run_pb2.Run | None:
    """The one run of the workflow, when it has ended."""
    found = (await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs
    [run] = [one for one in found if one.action == "invoice-processor.run"] or [None]
    ended = {run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED}
    return run if run is not None and run.state in ended else None


async def test_s06_an_invoice_becomes_a_row_and_a_mail(
    system: System, client: Hardpoint, agent: Agent, ledger: Ledger
) -> None:
    await install(client, agent, ledger, system.upstream.serve(model))
    before = len(system.post.kept)
    await client.upload_file(documents.scanned(INVOICE), "invoice-1.pdf")
    run = await eventually(lambda: the_run(client, agent), 60.0)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run
    assert await ledger.rows() == [("INV-2024-0815", "1234.56", "Muster Werkzeuge GmbH")]
    [envelope] = system.post.kept[before:]
    assert envelope.rcpt_tos == ["accounting@company.com"]
    assert system.post.last()["Subject"] == "New Invoice: INV-2024-0815"
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    assert [step.action for step in steps] == STEPS

    async def spans() -> list[str] | None:
        named = [span.name for span in system.receiver.trace(run.trace_id) if span.name.startswith("execute_tool ")]
        return named if len(named) >= len(STEPS) else None

    assert sorted(await eventually(spans)) == sorted(f"execute_tool {step}" for step in STEPS)

    await client.upload_file(documents.picture(INVOICE), "photo.png")

    async def filtered() -> list[trigger_pb2.Delivery] | None:
        found = await deliveries(client, agent)
        return found if len(found) == 2 else None

    newest, _ = await eventually(filtered)
    assert newest.state == trigger_pb2.DELIVERY_STATE_FILTERED
    assert newest.run == ""
    assert len(await ledger.rows()) == 1


async def test_s06_what_does_not_fit_is_no_row_and_the_administrator_is_told(
    system: System, client: Hardpoint, agent: Agent, ledger: Ledger
) -> None:
    await install(client, agent, ledger, system.upstream.serve(model))
    await client.upload_file(documents.written(["A letter, and no invoice"]), "invoice-of-none.pdf")
    run = await eventually(lambda: the_run(client, agent), 60.0)
    assert run.state == run_pb2.RUN_STATE_FAILED, run
    assert "input: 'amount' is a required property" in run.message
    assert await ledger.rows() == []
    assert system.post.last()["To"] == "root@example.com"
    assert "'amount' is a required property" in system.post.last().get_content()


async def test_s06_a_dry_run_says_what_would_become_of_an_invoice(
    system: System, client: Hardpoint, agent: Agent, ledger: Ledger, org: str
) -> None:
    url = system.upstream.serve(model)
    await install(client, agent, ledger, url)
    mailed = len(system.post.kept)
    file = await client.upload_file(documents.written(INVOICE), "bill.pdf")  # no name that starts it
    given = {"file": {"id": file.name, "name": "bill.pdf", "type": "application/pdf", "size": file.size_bytes}}
    dry = await client.call("helper", "invoice-processor.run", given, dry_run=True, seconds=60)
    done, planned = manifest_pb2.PlannedStep.OUTCOME_DONE, manifest_pb2.PlannedStep.OUTCOME_PLANNED
    assert [(step.path, step.action, step.outcome) for step in dry.plan.steps] == [
        ("extract", "ocr.extract", done),
        ("analyze", "ai.analyze", done),
        ("validate", "validate.schema", done),
        ("store", "database.insert", planned),
        ("notify", "email.send", planned),
    ]
    store, notify = dry.plan.effects
    assert (store.path, store.operation, store.target) == ("store", "INSERT", "DATABASE_URL: invoices")
    [rows] = json.loads(from_struct(store.arguments)["params"]["text"])
    assert json.loads(rows) == [READ]
    assert (notify.path, notify.target) == ("notify", "accounting@company.com")
    assert from_struct(notify.arguments)["subject"] == f"New Invoice: {READ['number']}"
    assert not dry.plan.incomplete
    assert len(system.upstream.asked(url)) == 1, "the model reads, so it was asked"

    said = await run_cli(
        system.cli_environment(org), "start", "helper", "invoice-processor.run", json.dumps(given), "--dry-run"
    )
    assert said["plan"]["digest"] == dry.plan.digest
    assert (await ledger.rows(), system.post.kept[mailed:]) == ([], [])
    runs = (await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs
    assert [(run.action, run.dry_run) for run in runs] == [("invoice-processor.run", True)] * 2
    steps = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=dry.run))).steps
    assert [step.path for step in steps] == [step.path for step in dry.plan.steps]


async def test_s06_a_mail_server_that_is_down_is_tried_again_and_waited_for(
    system: System, client: Hardpoint, agent: Agent
) -> None:
    await client.attach(agent.id, "email")
    await client.set_settings("email", {"EMAIL_FROM": "agents@example.com"})
    await client.set_secret("email", "SMTP_URL", "smtp://ada:secret@nowhere.invalid")
    mail = {"id": "mail", "action": "email.send", "to": "ada@example.com", "subject": "Paid", "body": "Thanks"}
    made = orders(mail, error_handling={"retry": {"attempts": 2, "seconds": 0.1}})
    del made["permissions"], made["hosts"]
    await add_file(client, agent, json.dumps({"capability": made}).encode(), "orders.json")
    run = await start(client, agent)
    waiting = await until(client, run.name, run_pb2.RUN_STATE_WAITING, *ENDED)
    assert (waiting.state, waiting.reason) == (run_pb2.RUN_STATE_WAITING, "UPSTREAM_UNREACHABLE"), waiting
    assert "SMTP_URL" in waiting.message
    [step] = (await client.runs.ListSteps(run_pb2.ListStepsRequest(parent=run.name))).steps
    assert step.attempts == 2

    before = len(system.post.kept)
    await client.set_secret("email", "SMTP_URL", f"smtp://ada:{MAIL_PASSWORD}@{MAIL}")
    await client.runs.ResumeRun(run_pb2.ResumeRunRequest(step=step.name, decision=run_pb2.RESUME_REPEAT))
    assert (await until(client, run.name)).state == run_pb2.RUN_STATE_SUCCEEDED
    assert len(system.post.kept) == before + 1


async def test_s07_killed_while_it_stores_there_is_one_row_and_one_mail(
    system: System, client: Hardpoint, agent: Agent, ledger: Ledger
) -> None:
    await install(client, agent, ledger, system.upstream.serve(model))
    mailed = len(system.post.kept)
    async with ledger.look.transaction():
        await ledger.look.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
        await client.upload_file(documents.written(INVOICE), "invoice-1.pdf")
        await eventually(ledger.waited_for, 60.0)
        await system.kill("executor", "runtime")

    async def over() -> run_pb2.Run | None:
        try:
            return await the_run(client, agent)
        except Unavailable:
            return None

    run = await eventually(over, 60.0)
    assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run
    assert len(await ledger.rows()) == 1
    assert [envelope.rcpt_tos for envelope in system.post.kept[mailed:]] == [["accounting@company.com"]]
