"""The design document's invoice workflow, with a kill -9 in the middle: a PDF becomes one row and one mail."""

import io
import time
import uuid
from collections.abc import Callable
from contextlib import aclosing

import pypdfium2
from reportlab.pdfgen.canvas import Canvas

from demo.adding import add_capability
from demo.daemon import Deployment
from demo.office import MAIL, MAIL_KEY, MODEL, MODEL_KEY, Office
from demo.screen import console, heading, say_done
from demo.waiting import eventually, within
from hardpoint.runtime.v1 import run_pb2, trigger_pb2
from hardpoint_client import Agent, Hardpoint

LINES = (
    "Vendor: Muster Werkzeuge GmbH",
    "Invoice No. INV-2024-0815",
    "Date: 2024-03-15",
    "Hammer, forged steel, 60 pieces",
    "Total: 1234.56 EUR",
)
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "string"}, "amount": {"type": "number", "minimum": 0}},
    "required": ["number", "amount", "vendor", "date"],
}
SERVICES = ("ocr", "ai", "validate", "database", "email", "notify")
ENDED = {run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED}


async def show_invoice(client: Hardpoint, agent: Agent, deployment: Deployment, office: Office) -> None:
    """Set the workflow up, upload an invoice, kill everything while it is stored, and see what came of it."""
    heading("invoice-processor.yaml", "byte for byte; an upload starts it, and kill -9 comes while it stores")
    await _set_up(client, agent, office)
    daemon = deployment.processes["runtime"]
    invoice = written_invoice()
    async with office.ledger.transaction():
        # SHARE keeps writers out and lets everybody read.
        await office.ledger.execute("LOCK TABLE invoices IN SHARE MODE")
        await client.upload_file(invoice, "invoice-1.pdf")
        console.print("  [cyan]›[/] upload invoice-1.pdf [dim](the demo holds a lock on the table invoices)[/]")
        run = await eventually("a run", lambda: _run(client))
        seen = await _follow(client, run, until=_stores)
        await eventually("an INSERT that waits", office.is_waited_for)
        console.print(f"    {'store':<9} {'database.insert':<16} its INSERT waits for the lock")
        await daemon.kill()
        console.print("  [red]kill -9[/] of the process that is all of Hardpoint; the database server goes on")
        started = time.monotonic()
        await daemon.start()
    say_done("started again, and the lock is released: the run goes on by itself", time.monotonic() - started)
    async with Hardpoint(client.login) as again:
        await _follow(again, run, after=seen, until=lambda change: change.run.state in ENDED)
        await _say_outcome(again, run, office)
        await again.upload_file(_picture(invoice), "invoice-1.png")
        console.print("  [cyan]›[/] upload invoice-1.png [dim](the same page as a picture)[/]")
        delivery = await eventually("what came of the picture", lambda: _second_delivery(again, agent))
        word = trigger_pb2.DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_").lower()
        console.print(f"    [bold]{word}[/], {'and it started a run' if delivery.run else 'so it started no run'}")
        if delivery.state != trigger_pb2.DELIVERY_STATE_FILTERED or delivery.run:
            raise RuntimeError("the filter of the workflow let a picture pass")


def written_invoice() -> bytes:
    """An invoice as a PDF."""
    target = io.BytesIO()
    canvas = Canvas(target)
    for number, line in enumerate(LINES):
        canvas.drawString(60, 780 - 24 * number, line)
    canvas.save()
    return target.getvalue()


def _picture(pdf: bytes) -> bytes:
    target = io.BytesIO()
    with pypdfium2.PdfDocument(pdf) as document:
        document[0].render(scale=1, grayscale=True).to_pil().save(target, "PNG")
    return target.getvalue()


async def _set_up(client: Hardpoint, agent: Agent, office: Office) -> None:
    """What an organisation does once: its services, the workflow, and that uploads start it."""
    started = time.monotonic()
    for service in SERVICES:
        await client.attach(agent.id, service)
    await client.set_secret("database", "DATABASE_URL", office.database_url)
    await client.set_settings("database", {"DATABASE_TABLES": "invoices"})
    await client.set_secret("ai", "AI_KEY", MODEL_KEY)
    await client.set_settings("ai", {"AI_URL": f"https://{MODEL}/v1", "AI_MODEL": "small"})
    for mailer, settings in {"email": {}, "notify": {"ADMIN_EMAIL": "root@acme.example"}}.items():
        await client.set_secret(mailer, "SMTP_URL", f"smtp://agents:{MAIL_KEY}@{MAIL}")
        await client.set_settings(mailer, {"EMAIL_FROM": "agents@acme.example", **settings})
    said = f"{', '.join(SERVICES)} attached and set up; every organisation has them"
    say_done(said, time.monotonic() - started)
    await add_capability(client, agent, "invoice-processor.yaml", settings={"invoice_schema": SCHEMA})
    declared = trigger_pb2.Trigger(declared="invoice-processor.file_upload")
    await client.triggers.CreateTrigger(
        trigger_pb2.CreateTriggerRequest(
            parent=agent.name, trigger_id="invoices", trigger=declared, request_id=uuid.uuid4().hex
        )
    )


async def _run(client: Hardpoint) -> str:
    """The workflow's run, when there is one."""
    found = (await client.runs.ListRuns(run_pb2.ListRunsRequest(parent=client.org))).runs
    return next((run.name for run in found if run.action == "invoice-processor.run"), "")


async def _second_delivery(client: Hardpoint, agent: Agent) -> trigger_pb2.Delivery | None:
    """What came of the second upload, once that is known."""
    ask = trigger_pb2.ListDeliveriesRequest(parent=f"{agent.name}/triggers/invoices")
    newest, *others = (await client.triggers.ListDeliveries(ask)).deliveries
    settled = newest.state not in {trigger_pb2.DELIVERY_STATE_ACCEPTED, trigger_pb2.DELIVERY_STATE_RUNNING}
    return newest if others and settled else None


async def _follow(
    client: Hardpoint, run: str, *, after: int = 0, until: Callable[[run_pb2.WatchRunResponse], bool]
) -> int:
    """Show the steps of a run as they end, until a change that is waited for; its sequence."""
    async with (
        within("the next change of the run"),
        aclosing(client.runs.WatchRun(run_pb2.WatchRunRequest(name=run, sequence=after))) as changes,
    ):
        async for change in changes:
            for step in change.steps:
                if step.state in ENDED:
                    _show_step(step)
            if until(change):
                return change.sequence
    raise RuntimeError(f"{run} is watched no more, and has not ended")


def _stores(change: run_pb2.WatchRunResponse) -> bool:
    if change.run.state in ENDED:
        raise RuntimeError(f"the run ended before it stored: {change.run.message}")
    return any(step.path == "store" for step in change.steps)


def _show_step(step: run_pb2.Step) -> None:
    state = run_pb2.RunState.Name(step.state).removeprefix("RUN_STATE_").lower()
    tries = f", begun {step.attempts} times" if step.attempts > 1 else ""
    why = f" {step.reason} {step.message}" if step.reason else ""
    console.print(f"    {step.path:<9} {step.action:<16} {state} [dim]{step.duration_ms:6.0f} ms{tries}[/]{why}")


async def _say_outcome(client: Hardpoint, run: str, office: Office) -> None:
    ended = await client.runs.GetRun(run_pb2.GetRunRequest(name=run))
    if ended.state != run_pb2.RUN_STATE_SUCCEEDED:
        raise RuntimeError(f"the run did not succeed: {ended.reason} {ended.message}")
    rows, mails = await office.rows(), office.post.mails()
    for word, found in (("row", rows), ("mail", mails)):
        console.print(f"    {len(found)} {word}: [bold]{'; '.join(found)}[/]")
    if (len(rows), len(mails)) != (1, 1):
        raise RuntimeError("there should be one row and one mail")
