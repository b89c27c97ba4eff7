"""A flow's views for people: an outline of a file's flow, and the flow that an edited outline or a canvas says."""

import json
from pathlib import Path

from rich.text import Text

from hardpoint_cli.findings import Checked
from hardpoint_cli.shell import Answer
from hardpoint_kit.errors import InvalidArgument
from hardpoint_manifest.check import Report
from hardpoint_manifest.finding import ManifestError
from hardpoint_manifest.load import MAX_BYTES, load
from hardpoint_manifest.shape import read
from hardpoint_manifest.source import CapabilityFile
from hardpoint_manifest.views import ViewError, document, from_canvas, from_outline, to_canvas, to_outline, to_yaml


def outlined(file: Path) -> Answer:
    """The outline and the canvas of a file's flow, or what keeps the file from being read."""
    data = _bytes(file)
    try:
        source, findings = read(load(data, file.name), CapabilityFile)
    except ManifestError as error:
        source, findings = None, error.findings
    if source is None:
        found = Checked(file, data, Report(None, tuple(findings)))
        return Answer(found.document, found.shown, False)
    flow = source.capability.flow
    if flow is None:
        raise InvalidArgument(
            {str(file): "holds no `flow`"}, fix=f"see what it offers and its steps: hardpoint check {file}"
        )
    try:
        canvas = to_canvas(flow)
    except ViewError as error:
        raise InvalidArgument({str(file): str(error)}, fix=f"hardpoint check {file}") from None
    lines = to_outline(flow)
    return Answer({"outline": lines, "canvas": canvas}, Text(lines.removesuffix("\n")))


def drawn(file: Path) -> Answer:
    """The flow that an outline says, or a canvas where the file ends in .json; raises InvalidArgument with the line."""
    try:
        text = _bytes(file).decode()
        flow = from_canvas(json.loads(text)) if file.suffix.lower() == ".json" else from_outline(text)
    except (ValueError, RecursionError) as error:
        wrong = str(error) if isinstance(error, ViewError) else "this is no UTF-8 text, or no JSON"
        raise InvalidArgument({str(file): wrong}, fix="hardpoint outline FILE shows how one is written") from None
    return Answer({"flow": document(flow)}, Text(to_yaml(flow).removesuffix("\n")))


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)
