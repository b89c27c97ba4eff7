"""Manifests and findings as they travel."""

from pathlib import Path

import pytest
from google.protobuf import json_format

from hardpoint.manifest.v1 import manifest_pb2
from hardpoint_manifest.model import Action, Kind, Manifest, Parameter, Requirement
from hardpoint_registry.checks import check_submission
from hardpoint_registry.manifest_proto import finding_to_proto, manifest_to_proto

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("filename", ["weather-capability.yaml", "currency-converter.yaml", "slack-integration.json"])
def test_the_example_manifests_travel_whole(filename: str) -> None:
    report = check_submission((EXAMPLES / filename).read_bytes(), filename, None)
    manifest = report.manifest
    assert manifest is not None
    sent = manifest_pb2.Manifest.FromString(manifest_to_proto(manifest).SerializeToString())

    assert (sent.id, sent.name, sent.icon, sent.version) == (
        manifest.id,
        manifest.name,
        manifest.icon,
        manifest.version,
    )
    assert sent.kind == manifest_pb2.KIND_HTTP
    assert tuple(sent.authority.permissions) == manifest.permissions
    assert tuple(sent.authority.hosts) == manifest.hosts
    for action, other in zip(manifest.actions, sent.actions, strict=True):
        assert json_format.MessageToDict(other.input_schema) == action.input_schema()
        assert json_format.MessageToDict(other.output_schema) == action.output_schema()
        assert manifest_pb2.Effect.Name(other.effect) == f"EFFECT_{action.effect.upper()}"
    for example, other_example in zip(manifest.examples, sent.examples, strict=True):
        assert json_format.MessageToDict(other_example.input) == example.input
    for finding in report.findings:
        other_finding = finding_to_proto(finding)
        assert (other_finding.rule, other_finding.path, other_finding.line) == (
            finding.rule,
            finding.path,
            finding.line,
        )
        assert manifest_pb2.Severity.Name(other_finding.severity) == f"SEVERITY_{finding.severity.upper()}"
        assert [json_format.MessageToDict(op.value) for op in other_finding.patch] == [op.value for op in finding.patch]


def test_signing_in_travels() -> None:
    report = check_submission((EXAMPLES / "slack-integration.json").read_bytes(), "slack-integration.json", None)
    assert report.manifest is not None
    assert json_format.MessageToDict(manifest_to_proto(report.manifest).oauth2) == {
        "setting": "ACCESS_TOKEN",
        "grant": "authorization_code",
        "authorizationUrl": "https://slack.com/oauth/v2/authorize",
        "tokenUrl": "https://slack.com/api/oauth.v2.access",
        "scopes": ["chat:write", "channels:read"],
        "pkce": True,
    }
    assert not manifest_to_proto(report.manifest.model_copy(update={"oauth2": None})).HasField("oauth2")


@pytest.mark.parametrize("default", [None, False, 0, "", 2.5, {"deep": [1, None]}])
def test_defaults_keep_their_type(default: object) -> None:
    manifest = Manifest(
        id="x",
        name="X",
        version="1.0.0",
        kind=Kind.CODE,
        language="python",
        actions=(Action(id="run", name="Run", inputs=(Parameter(name="a", type="number", default=default),)),),
        requirements=(Requirement(key="KEY", label="Key", type="object", default=default),),
    )
    sent = manifest_to_proto(manifest)
    assert sent.language == "python"
    assert sent.requirements[0].HasField("default_value") == (default is not None)
    if default is not None:
        assert json_format.MessageToDict(sent.requirements[0].default_value) == default
        assert json_format.MessageToDict(sent.actions[0].input_schema)["properties"]["a"]["default"] == default


def test_engine_isolation_and_libraries_travel() -> None:
    code = Manifest(id="x", name="X", version="1.0.0", kind=Kind.CODE, language="python", libraries=("numpy", "tzdata"))
    assert manifest_to_proto(code).isolation == ""
    assert manifest_to_proto(code.model_copy(update={"isolation": "strict"})).isolation == "strict"
    assert list(manifest_to_proto(code).libraries) == ["numpy", "tzdata"]
    assert manifest_to_proto(code).engine == ""
    script = Manifest(id="x", name="X", version="1.0.0", kind=Kind.CODE, language="javascript", engine="quickjs")
    assert manifest_to_proto(script).engine == "quickjs"
