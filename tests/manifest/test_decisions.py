"""The defects of the design document, each with the decision that was taken about it.

D8 (tables), D9 (cache invalidation) and D15 (prices) are decisions of other parts of the project.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hardpoint_manifest.authority import PERMISSIONS, Authority
from hardpoint_manifest.check import check
from hardpoint_manifest.expression import ExpressionError, Scope, Template, compile
from hardpoint_manifest.finding import PatchOp, apply_patch
from hardpoint_manifest.load import jail_error
from hardpoint_manifest.matcher import differences
from hardpoint_manifest.model import Limits
from manifest.documents import EXAMPLES, analyzer, document, example, http, integration, only, patched, report, rules

ROOT = Path(__file__).parents[2]


def test_d01_async_actions_is_a_finding_with_line_and_hint():
    source = (EXAMPLES / "custom-db-query.js").read_bytes()
    failure = {"name": "SyntaxError", "message": "Unexpected token ':'", "line": 4, "column": 16}
    (finding,) = jail_error(source, "custom-db-query.js", failure).findings
    assert (finding.rule, finding.line, finding.column) == ("code-unreadable", 4, 16)
    assert "Unexpected token ':'" in finding.message
    assert "write `actions: { async queryCustomers(input) { ... } }`" in finding.fix


def test_d01_other_failures_get_a_general_hint():
    failure = {
        "name": "ReferenceError",
        "message": "x is not defined",
        "stack": [{"file": "p.js", "line": 2, "column": 5}],
    }
    (finding,) = jail_error(b"const a = 1;\nx();\n", "p.js", failure).findings
    assert (finding.line, finding.column) == (2, 5)
    assert "nothing outside the actions may fail" in finding.fix


def test_d02_unknown_permission_names_the_nearest():
    document = analyzer(permissions=["database.read"])
    finding = only(check(document).findings, "unknown-permission")
    assert "database.read" in finding.message
    assert finding.fix == "did you mean data.read?"
    assert patched(document, finding).ok


def test_d02_there_is_one_catalogue():
    assert len(PERMISSIONS) == 25
    assert {f"network.http.{method}" for method in ("get", "post", "put", "patch", "delete", "head")} <= set(
        PERMISSIONS
    )


def test_d03_plain_functions_are_helpers_unless_exported():
    found = check(analyzer())
    assert found.ok
    assert found.manifest is not None
    assert [action.id for action in found.manifest.actions] == ["analyzeDataset"]
    assert only(found.findings, "helper").line == 31

    exported = check(analyzer(exports=["analyzeDataset", "statisticalAnalysis"]))
    assert exported.manifest is not None
    assert [action.id for action in exported.manifest.actions] == ["analyzeDataset", "statisticalAnalysis"]


def test_d03_exports_name_all_actions():
    manifest = check(analyzer(exports=["statisticalAnalysis"])).manifest
    assert manifest is not None
    assert [action.id for action in manifest.actions] == ["statisticalAnalysis"]
    assert "no-actions" in rules(check(analyzer(exports=[])).findings)


def test_d03_exports_must_exist():
    finding = only(check(analyzer(exports=["statisticalAnalysys"])).findings, "dangling-reference")
    assert finding.fix == "did you mean statisticalAnalysis?"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${API_KEY}", "secret://API_KEY#1"),
        ("${input.amount}", 12),
        ("{{amount}}", 12),
        ("${amount}", 12),
        ("{{ input.amount * 2 }}", 24),
    ],
)
def test_d04_one_language_behind_all_delimiters(text, value):
    manifest = report(
        http(
            actions=[{"id": "get", "inputs": [{"name": "amount", "type": "integer"}]}],
            configuration=[{"key": "API_KEY", "type": "secret"}],
            integration={"endpoint": "https://api.example.com/", "headers": {"x": text}},
        )
    ).manifest
    assert manifest is not None
    scope = Scope.request(manifest.actions[0], manifest.requirements)
    variables = {"input": {"amount": 12}, "API_KEY": "secret://API_KEY#1"}
    assert Template.parse(text, scope).evaluate(variables) == value


def test_d04_javascript_spellings_and_paths():
    filter_ = compile("file.type === 'pdf' && file.name.includes('invoice')", Scope.of("file"))
    assert filter_.evaluate({"file": {"type": "pdf", "name": "invoice-1.pdf"}}) is True
    assert filter_.evaluate({"file": {"type": "png", "name": "photo.png"}}) is False
    path = compile("data.weather[0].main", Scope.of("data"))
    assert path.evaluate({"data": {"weather": [{"main": "Sunny"}]}}) == "Sunny"


@pytest.mark.parametrize(
    "name", ["x);process.exit(1)//", "__proto__", "constructor", "toString", "", "a" * 65, "1a", "é"]
)
def test_d05_action_ids_are_names_and_nothing_else(name):
    found = report(http(actions=[{"id": name}]))
    finding = only(found.findings, "invalid-id")
    assert found.manifest is None
    assert finding.path == "capability.actions[0].id"
    assert "invalid-id" in rules(check(analyzer(actions=[{"id": name, "async": True}])).findings)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_d06_each_method_needs_its_own_permission(method):
    found = report(http(permissions=[], integration={"endpoint": "https://a.example.com", "method": method}))
    assert f"network.http.{method.lower()}" in only(found.findings, "missing-permission").message


def test_d06_hosts_come_from_the_manifest():
    found = report(http(hosts=["*.files.example.com", "api.example.com:8443"]))
    assert found.ok
    assert found.manifest is not None
    authority = found.manifest.authority
    assert authority.allows_host("api.example.com", 443)
    assert authority.allows_host("api.example.com", 8443)
    assert authority.allows_host("a.b.files.example.com", 443)
    assert not authority.allows_host("evilfiles.example.com", 443)
    assert not authority.allows_host("api.example.com", 80)


@pytest.mark.parametrize(
    ("tier", "policy", "seconds"), [("light", 30, 1), ("moderate", 30, 10), ("heavy", 30, 30), ("heavy", 90, 60)]
)
def test_d07_the_limit_is_the_smaller_of_tier_and_policy(tier, policy, seconds):
    assert Limits(compute=tier).wall_seconds(policy) == seconds
    manifest = check(analyzer(permissions=[f"compute.{tier}"])).manifest
    assert manifest is not None
    assert manifest.limits.wall_seconds(policy) == seconds
    assert Authority.of([f"compute.{tier}"]).compute_tier == tier


@pytest.mark.parametrize("rule", ["oauth-token-url", "oauth-authorization-url"])
def test_d10_what_signing_in_lacks_is_said_with_a_patch(rule):
    document = example("slack-integration.json")
    finding = only(check(document).findings, rule)
    assert finding.severity == "warning", "a token can be pasted instead, so it stops no release"
    assert finding.patch[0].value.startswith("https://slack.com/")
    assert rule not in rules(patched(document, finding).findings)


def test_d10_slack_says_in_ok_whether_a_call_worked():
    document = example("slack-integration.json")
    found = check(document)
    assert found.manifest is not None
    assert {(a.http.success, a.http.error) for a in found.manifest.actions} == {("data.ok", "data.error")}
    finding = only(found.findings, "derived-success")
    assert (finding.severity, finding.path) == ("info", "capability.api")
    after = patched(document, finding)
    assert "derived-success" not in rules(after.findings)
    assert after.manifest is not None
    assert after.manifest.actions == found.manifest.actions


def test_d10_a_provider_of_which_nothing_is_known_is_judged_by_its_status_alone():
    manifest = report(http()).manifest
    assert manifest is not None
    assert manifest.actions[0].http is not None
    assert manifest.actions[0].http.success is None


def test_d11_a_webhook_without_verifier_is_refused_with_a_patch():
    document = example("slack-integration.json")
    finding = only(check(document).findings, "webhook-verifier")
    assert finding.severity == "warning", "what proves nothing starts nothing"
    assert finding.patch[0].value == {"kind": "slack", "secret": "SIGNING_SECRET"}
    after = patched(document, finding)
    assert not {"webhook-verifier", "undeclared-name"} & rules(after.findings)


def hook(**verifier: str) -> dict[str, Any]:
    trigger = {"id": "on-x", "type": "webhook", "verifier": {"secret": "HOOK_KEY", **verifier}}
    data = http(triggers=[trigger])
    data["capability"]["configuration"] = [{"key": "HOOK_KEY", "type": "secret"}]
    return data


HMAC = {"kind": "hmac", "header": "x-signature"}


def test_d11_a_verifier_says_where_a_delivery_has_its_id_and_its_time():
    found = report(hook(**HMAC, id_header="X-Shopify-Webhook-Id", timestamp_header="X-Signature"))
    assert found.ok, found.findings
    assert found.manifest is not None
    verifier = found.manifest.triggers[0].verifier
    assert verifier is not None
    assert (verifier.header, verifier.id_header) == ("x-signature", "x-shopify-webhook-id")
    assert verifier.timestamp_header == "x-signature"


@pytest.mark.parametrize("field", ["id_header", "timestamp_header"])
@pytest.mark.parametrize("kind", ["slack", "github", "standard-webhooks", "none"])
def test_d11_only_hmac_has_to_be_told_where(kind: str, field: str):
    data = hook(kind=kind, **{field: "x-id"})
    finding = only([one for one in report(data).findings if one.severity == "error"], "webhook-verifier")
    assert finding.path == f"capability.triggers[0].verifier.{field}"
    assert "is of hmac" in finding.message
    assert "webhook-verifier" not in rules(patched(document(data), finding).findings)


@pytest.mark.parametrize("field", ["header", "id_header", "timestamp_header"])
def test_d11_a_header_that_never_comes_is_refused(field: str):
    finding = only(report(hook(**{**HMAC, field: "X-Request-Id"})).findings, "webhook-verifier")
    assert finding.path == f"capability.triggers[0].verifier.{field}"
    assert "X-Request-Id is not handed on" in finding.message


def test_d11_the_trigger_of_the_document_about_webhooks_is_right():
    text = (ROOT / "docs" / "webhooks.md").read_text()
    written = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    data = hook()
    data["capability"] |= written
    data["capability"]["configuration"] = [{"key": "SHOP_SECRET", "type": "secret"}]
    data["capability"]["triggers"][0]["action"] = data["capability"]["actions"][0]["id"]
    assert not {"webhook-verifier", "undeclared-name"} & rules(report(data).findings)
    assert report(data).ok


def test_d11_none_refuses_every_delivery():
    trigger = {"id": "on-x", "type": "webhook", "verifier": {"kind": "none"}}
    assert "webhook-refused" in rules(report(http(triggers=[trigger])).findings)


def test_d12_what_nobody_declares_is_asked_of_the_installation_or_refused():
    document = example("invoice-processor.yaml")
    found = check(document)
    finding = only(found.findings, "derived-setting")
    assert (finding.line, finding.severity) == (25, "warning")
    assert found.manifest is not None
    assert [(r.key, r.type, r.required) for r in found.manifest.requirements] == [("invoice_schema", "object", True)]
    assert found.manifest.plan is not None
    assert found.manifest.plan.on_error is not None
    assert found.manifest.plan.on_error.action == "notify.admin"

    data = apply_patch(document.data, [PatchOp("replace", "/capability/workflow/error_handling/on_error", "notfy")])
    dangling = only(report(data).findings, "dangling-reference")
    assert (dangling.message, dangling.fix) == ("there is no step notfy", "did you mean notify?")


def test_d12_retrying_an_effect_needs_a_key():
    document = example("invoice-processor.yaml")
    findings = [f for f in check(document).findings if f.rule == "retry-without-key"]
    assert [f.path for f in findings] == ["capability.workflow.steps[4]"]  # a row is written once for one key
    assert findings[0].path not in {
        f.path for f in patched(document, findings[0]).findings if f.rule == "retry-without-key"
    }


def test_d13_exact_live_values_suggest_matchers():
    document = example("weather-capability.yaml")
    finding = only(check(document).findings, "exact-live-values")
    after = patched(document, finding)
    assert "exact-live-values" not in rules(after.findings)
    assert after.manifest is not None
    expected = after.manifest.examples[0].expected_output
    assert differences(expected, {"temperature": 3.5, "condition": "Rain", "humidity": 90}) == ()
    assert differences(expected, {"temperature": "72", "condition": "Rain", "humidity": 90}) != ()


def test_d14_a_missing_permission_is_an_error_with_a_patch():
    document = example("currency-converter.yaml")
    found = check(document)
    assert not found.ok
    assert found.manifest is not None
    assert found.manifest.actions[0].http is not None
    assert found.manifest.actions[0].http.method == "GET"
    finding = only(found.findings, "missing-permission")
    assert "network.http.get" in finding.message
    assert patched(document, finding).ok


def test_d14_the_endpoints_of_a_connector_are_its_list_unless_it_writes_one():
    document = example("slack-integration.json")
    found = check(document)
    assert found.ok
    assert found.manifest is not None
    assert found.manifest.permissions == ("network.http.post", "network.http.get")
    finding = only(found.findings, "derived-permission")
    assert (finding.severity, finding.path) == ("warning", "capability.permissions")
    assert not {"derived-permission", "missing-permission"} & rules(patched(document, finding).findings)

    data = {"capability": {**document.data["capability"], "permissions": ["network.http.get"]}}
    refused = only(report(data).findings, "missing-permission")
    assert (refused.severity, refused.message) == ("error", "send-message needs network.http.post")


def test_secrets_stay_out_of_urls_and_calculations():
    setting = [{"key": "API_KEY", "type": "secret"}]
    for changes in (
        {"endpoint": "https://api.example.com/${API_KEY}"},
        {"params": {"k": "${API_KEY + 'x'}"}},
        {"headers": {"k": "${size(API_KEY)}"}},
    ):
        data = integration(**changes)
        data["capability"]["configuration"] = setting
        assert "secret-misplaced" in rules(report(data).findings)
    data = integration(headers={"Authorization": "Bearer ${API_KEY}"}, params={"k": "${API_KEY}"})
    data["capability"]["configuration"] = setting
    assert report(data).ok


@pytest.mark.parametrize("shape", [list, dict])
def test_a_secret_is_for_the_hosts_that_it_names_else_for_those_of_the_manifest(shape):
    def settings(**changes):
        body = {"type": "secret", **changes}
        return [{"key": "API_KEY", **body}] if shape is list else {"API_KEY": body}

    def manifest_of(**changes):
        hosts = ["*.files.example.com"]
        return report(http(hosts=hosts, configuration=settings(**changes))).manifest.requirements[0]

    assert manifest_of().hosts == ("api.example.com", "*.files.example.com")
    assert manifest_of(hosts=["api.example.com"]).hosts == ("api.example.com",)
    assert manifest_of(hosts=["eu.files.example.com"]).hosts == ("eu.files.example.com",)
    place = "0" if shape is list else "API_KEY"
    assert manifest_of().pointer == f"/capability/configuration/{place}"


def test_a_secret_for_a_host_that_is_not_reached_is_an_error_with_a_patch():
    source = document(http(configuration=[{"key": "API_KEY", "type": "secret", "hosts": ["other.example.com"]}]))
    finding = only(check(source).findings, "secret-host")
    assert finding.path == "capability.configuration[0].hosts[0]"
    assert patched(source, finding).ok


def test_a_secret_for_several_hosts_names_them():
    source = document(http(hosts=["other.example.com"], configuration=[{"key": "API_KEY", "type": "secret"}]))
    finding = only(check(source).findings, "secret-hosts")
    assert "secret-hosts" not in rules(patched(source, finding).findings)


def test_a_setting_that_is_no_secret_has_no_hosts():
    assert report(http(configuration=[{"key": "UNIT"}])).manifest.requirements[0].hosts == ()


def test_secrets_are_unknown_to_response_expressions():
    data = integration(response_mapping={"a": "API_KEY"})
    data["capability"]["configuration"] = [{"key": "API_KEY", "type": "secret"}]
    finding = only(report(data).findings, "undeclared-name")
    assert "settings stand in requests" in finding.message
    with pytest.raises(ExpressionError):
        compile("API_KEY", Scope.of("data"))
