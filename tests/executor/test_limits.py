"""The numbers that bound executions stand in one file: all are read, and what the papers say of them is true."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hardpoint_executor import limits, server
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_executor.domain import Limits
from hardpoint_executor.jail import PoolOptions, SlotOptions, launch
from hardpoint_executor.jail.frames import NESTS
from hardpoint_executor.server import Options
from hardpoint_kit.documents import DEEPEST, MOST_VALUES
from hardpoint_kit.errors import InvalidArgument

ROOT = Path(__file__).parents[2]


def numbers(tmp_path: Path, text: str) -> limits.Numbers:
    file = tmp_path / "limits.toml"
    file.write_text(text)
    return limits.Numbers(file)


def test_the_end_of_a_name_is_its_unit(tmp_path: Path) -> None:
    read = numbers(tmp_path, "[a]\ncalls = 3\nbody_kib = 2\nmemory_mib = 2\nwall_seconds = 1.5\nrest_seconds = 4\n")
    assert (read.whole("a.calls"), read.whole("a.body_kib"), read.whole("a.memory_mib")) == (3, 2048, 2 << 20)
    assert (read.seconds("a.wall_seconds"), read.seconds("a.rest_seconds")) == (1.5, 4.0)
    read.check_all_read()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a]\nother = 1", "a.calls: it is missing"),
        ("[b]\ncalls = 1", "a.calls: it is missing"),
        ("calls = 1", "calls: it stands in no table"),
        ("[a]\ncalls = 1.5", "a.calls: 1.5 is no whole number"),
        ("[a]\ncalls = -1", "a.calls: -1 is no number from 0 up"),
        ("[a]\ncalls = true", "a.calls: True is no number from 0 up"),
        ("[a]\ncalls = '10'", "a.calls: '10' is no number from 0 up"),
        ("[a]\ncalls = inf", "a.calls: inf is no number from 0 up"),
        ("[a]\ncalls = nan", "a.calls: nan is no number from 0 up"),
        ("[a]\ncalls = 1\ncalls = 2", "the limits cannot be read"),
        ("[a]\ncalls = 1\ncals = 2", "a.cals: nothing reads it"),
        ("[a]\ncalls = 1\n[b]\ncalls = 2", "b.calls: nothing reads it"),
    ],
)
def test_a_file_that_is_not_as_the_code_wants_it_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    def start() -> None:
        read = numbers(tmp_path, text)
        read.whole("a.calls")
        read.check_all_read()

    with pytest.raises(InvalidArgument, match=f"^{re.escape(says)}") as refused:
        start()
    assert refused.value.place == str(tmp_path / "limits.toml")
    assert refused.value.fix


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        limits.Numbers(tmp_path / "limits.toml")


def test_the_executor_reads_every_number_of_its_file() -> None:
    assert server.build
    limits.check_all_read()


def test_an_executor_does_not_start_on_a_number_that_nothing_reads(tmp_path: Path) -> None:
    shutil.copytree(Path(limits.__file__).parent, tmp_path / "hardpoint_executor")
    with (tmp_path / "hardpoint_executor/limits.toml").open("a") as file:
        file.write("\n[brokr]\nsockets = 8\n")
    peers = {f"HARDPOINT_{peer}_ADDRESS": "127.0.0.1:1" for peer in ("CONFIG", "REGISTRY", "FILES")}
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "libs"), str(ROOT / "services")])
    ended = subprocess.run(
        [sys.executable, "-m", "hardpointd", "serve", "executor"],
        env={"PYTHONPATH": paths, "HARDPOINT_STATE": str(tmp_path), **peers},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "brokr.sockets: nothing reads it" in ended.stdout


def test_what_the_operator_does_not_say_is_what_the_file_says() -> None:
    options = Options()
    assert options.limits() == Limits()
    pool, slots = PoolOptions(), SlotOptions()
    assert (options.executor_slots, options.executor_slots_clean) == (slots.most, slots.clean)
    assert (options.executor_jails_waiting, options.executor_jails_running) == (pool.waiting, pool.running)
    assert options.executor_queue == pool.queue == slots.queue


def limits_table() -> str:
    """The table of limits of docs/jail.md, and what stands below it."""
    text = (ROOT / "docs" / "jail.md").read_text()
    return text.partition("\n## Limits\n")[2].partition("\n## ")[0]


def config(name: str, key: str) -> str:
    """A value of one of the jails' .cfg files."""
    found = re.search(rf"^{key}: (\S+)$", (launch.HERE / name).read_text(), re.M)
    assert found
    return found[1]


def test_the_table_of_limits_says_what_the_files_say() -> None:
    most, broker, kernel = Limits(), BrokerLimits(), tomllib.loads(limits.FILE.read_text())["kernel"]
    rows = {
        "wall time": f"`HARDPOINT_EXECUTOR_WALL_SECONDS` ({most.wall_seconds:g} s)",
        "processor time": f"{kernel['cpu_seconds']} s of all threads",
        "memory": f"{most.memory_bytes >> 20} MiB on top",
        "result; printed output": f"{most.output_bytes >> 20} MiB each; 1,000 lines are passed on; "
        f"{DEEPEST} levels, {MOST_VALUES:,} values",
        "one message of the plugin": f"1 MiB (PROTOCOL); {NESTS:,} lists and objects",
        "log and progress": f"{most.log_bytes >> 10} KiB",
        "requests to the network; other asks": f"{most.broker_calls}, each redirect one; {broker.operations} on files, "
        f"context and callees, {broker.messages} messages of WebSockets",
        "files in `/tmp`": f"{kernel['tmp_mib']} MiB, {kernel['tmp_files']} inodes, "
        f"{config('python.cfg', 'rlimit_fsize')} MiB each",
        "processes; threads": f"1; {kernel['threads']}, and",
        "descriptors": f"{config('python.cfg', 'rlimit_nofile')}",
    }
    told = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", limits_table(), re.M))
    for what, words in rows.items():
        assert words in told[what]
