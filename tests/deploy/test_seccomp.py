"""The system calls of the executor's container: as written down, no fewer than a jail needs, no more than explained."""

from pathlib import Path

from deploy.profile_of import WRITTEN, source
from hardpoint_executor import jail
from hardpoint_executor.jail.policy import _numbers, read_policy

KAFEL = {"newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname", "umount": "umount2"}
"""Calls that nsjail's policies call by the kernel's names."""
ALLOWED = {name for rule in WRITTEN["syscalls"] if rule["action"] == source.ALLOW for name in rule["names"]}


_NAMES = {number: name for name, (number, _) in _numbers().items()}


def policy(action: str) -> set[str]:
    """The calls that a plugin's policy names with one action, under whatever condition."""
    rules = read_policy(Path(jail.__file__).parent / "base.policy").rules
    names = [_NAMES[number] for number, (taken, _) in rules.items() if taken.name == action]
    return {KAFEL.get(name, name) for name in names}


def test_the_file_is_what_the_source_says():
    assert source.profile() == WRITTEN, "python deploy/seccomp/profile.py > deploy/seccomp/executor.json"


def test_what_a_plugin_may_call_its_container_may_call():
    plugin = policy("ALLOW")
    assert len(plugin) > 90
    assert plugin - ALLOWED == set()


def test_what_kills_a_plugin_is_refused_to_the_executor_but_for_what_makes_a_jail():
    fatal = policy("KILL_PROCESS")
    assert len(fatal) > 50
    makes_jails = {name for rule in source.JAILS for name in rule.names.split()}
    assert fatal & ALLOWED == makes_jails - {"clone", "clone3"}


def test_of_what_kills_a_plugin_the_container_lets_a_slot_be_told():
    told = [name for rule in WRITTEN["syscalls"] if rule["action"] == source.GIVE_WAY for name in rule["names"]]
    assert sorted(told) == sorted(policy("KILL_PROCESS") - ALLOWED)


def test_every_line_is_explained_and_no_call_stands_in_two():
    for rule in (*source.ORDINARY, *source.JAILS, *source.ABSENT, *source.TOLD):
        assert len(rule.why) > 5
    named = [(name, rule.equal) for rule in source.ORDINARY + source.JAILS for name in rule.names.split()]
    assert len(named) == len(set(named))
    bounded = {name for name, equal in named if equal is not None}
    assert not bounded & {name for name, equal in named if equal is None}, "a bound that another line lifts is none"
    assert bounded == {"socket", "socketpair"}


def test_every_runtime_reads_it_the_same_way():
    """Conditions of Docker's format are passed over by containerd, which reads the OCI runtime specification's."""
    assert set(WRITTEN) == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert WRITTEN["defaultAction"] == "SCMP_ACT_ERRNO"
    for rule in WRITTEN["syscalls"]:
        assert set(rule) <= {"names", "action", "args", "errnoRet", "comment"}
