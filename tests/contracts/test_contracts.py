"""The contracts hold together: every RPC is guarded, every reason that is raised is declared."""

import ast
import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from hardpoint.auth.v1 import rule_pb2
from hardpoint.broker.v1 import broker_pb2
from hardpoint.errors.v1.error_reason_pb2 import ErrorReason
from hardpoint.runtime.v1 import agent_pb2, installation_pb2, run_pb2
from hardpoint_kit.auth import allows

ROOT = Path(__file__).parents[2]
FILES = [path.relative_to(ROOT / "protos") for path in (ROOT / "protos").glob("hardpoint/**/*.proto")]
ROLES = ("admin", "builder", "operator", "agent", "viewer", "service", "door")


def methods() -> list[MethodDescriptor]:
    found = []
    for path in FILES:
        __import__(str(path.with_suffix("")).replace("/", ".") + "_pb2")
        file = descriptor_pool.Default().FindFileByName(str(path))
        for service in file.services_by_name.values():
            found.extend(service.methods)
    return found


def rule(method: MethodDescriptor) -> rule_pb2.Rule:
    return method.GetOptions().Extensions[rule_pb2.rule]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_rpc_says_whom_it_lets_in(method):
    guard = rule(method)
    assert guard.who != rule_pb2.WHO_UNSPECIFIED
    if guard.who != rule_pb2.WHO_TICKET:
        assert any(allows(frozenset({role}), guard.permission) for role in ROLES), "no role is allowed this"


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_write_can_be_repeated_safely(method):
    """A unary write carries a request id; what the runtime runs on behalf of a caller is never repeated."""
    fields = method.input_type.fields_by_name
    reads = method.GetOptions().idempotency_level == 1
    never_repeated = {"CallAction", "TestAction", "PlanStep", "CreateLease", "WatchChanges", "WatchFiles"}
    never_repeated |= {"Execute", "ExecuteToEnd", "CancelExecution"}
    # A link and a state are good once; the answer that is kept would be what makes them so.
    never_repeated |= {"BeginConnection", "CompleteConnection", "ConnectClient", "ConnectUsers"}
    never_repeated |= {"BeginOwnConnection", "CompleteOwnConnection"}
    # A ticket is for one execution, and what an execution saves is asked for by it alone.
    never_repeated |= {"CreateFileTicket", "SaveFile"}
    # The sender repeats it, under its own name for it.
    never_repeated |= {"Deliver"}
    by_content = {"UploadArtifact", "RecordInstallation", "OfferConnection", "CheckRelease"}
    assert reads or "request_id" in fields or method.name in never_repeated | by_content


def above(lines: list[str], number: int) -> str:
    """The comment over a line."""
    start = number
    while lines[start - 1].strip().startswith("//"):
        start -= 1
    return " ".join(line.strip().removeprefix("//").strip() for line in lines[start:number])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_rpc_says_how_it_fails(path):
    lines = (ROOT / "protos" / path).read_text().splitlines()
    silent = [
        line.strip() for at, line in enumerate(lines) if line.startswith("  rpc ") and "Fails: " not in above(lines, at)
    ]
    assert silent == []


def test_every_reason_has_an_example_of_its_metadata():
    lines = (ROOT / "protos" / "hardpoint" / "errors" / "v1" / "error_reason.proto").read_text().splitlines()
    values = {at: line.split()[0] for at, line in enumerate(lines) if re.match(r"  [A-Z_]+ = [1-9]", line)}
    assert set(values.values()) == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert [name for at, name in values.items() if "{" not in above(lines, at)] == []


def test_only_units_may_execute_or_lease():
    guarded = {method.full_name.rpartition(".")[2] for method in methods() if rule(method).who == rule_pb2.WHO_SERVICE}
    executor = {"Execute", "ExecuteToEnd", "CancelExecution"}
    files = {"CreateFileTicket", "WatchFiles"}
    config = {"CreateLease", "WatchChanges", "OfferConnection", "VerifySignature"}
    registry = {"ListRecordedExamples", "FinishChecks"}
    assert guarded == executor | files | config | registry | {"RecordInstallation"}


def test_the_agents_role_can_call_and_list_but_not_configure():
    agent = frozenset({"agent"})
    assert allows(agent, "runtime.actions.call")
    assert allows(agent, "runtime.tools.list")
    assert not allows(agent, "config.secrets.read")
    assert not allows(agent, "runtime.installations.write")
    assert not allows(agent, "runtime.actions.test")


def test_the_door_may_deliver_and_nothing_else():
    allowed = [method.name for method in methods() if allows(frozenset({"door"}), rule(method).permission)]
    open_to_all = [method.name for method in methods() if rule(method).who == rule_pb2.WHO_TICKET]
    assert set(allowed) - set(open_to_all) == {"Deliver"}


def test_every_reason_that_is_raised_is_declared():
    """Reasons are text in the code; each must be a value of ErrorReason, which clients switch on."""
    declared = set(ErrorReason.keys())
    unknown = {}
    for path in [*ROOT.glob("libs/hardpoint_*/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg in ("reason", "default_reason"):
                value = node.value
                if isinstance(value, ast.Constant) and value.value and value.value not in declared:
                    unknown[f"{path.relative_to(ROOT)}:{value.lineno}"] = value.value
    assert unknown == {}


def test_every_denial_of_the_broker_is_a_declared_reason():
    from hardpoint_executor.broker.denial import DenialCode

    assert {code.value for code in DenialCode} <= set(ErrorReason.keys())


def test_a_frame_has_one_meaning():
    frame = broker_pb2.Frame.DESCRIPTOR
    assert [oneof.name for oneof in frame.oneofs] == ["body"]
    assert all(field.containing_oneof for field in frame.fields)


def test_records_hold_no_inputs_and_no_outputs():
    for message in (run_pb2.Run, run_pb2.Step, installation_pb2.Installation, agent_pb2.Attachment):
        names = set(message.DESCRIPTOR.fields_by_name)
        assert not names & {"input", "output", "arguments", "secrets", "values"}
