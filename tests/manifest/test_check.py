"""Checks of whole documents: what is found, where, and that patches do what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint_manifest.check import check
from hardpoint_manifest.load import load
from manifest.documents import (
    analyzer,
    connector,
    document,
    example,
    http,
    integration,
    only,
    patched,
    report,
    rules,
)


def test_the_weather_example_needs_one_key_and_nothing_else():
    found = check(example("weather-capability.yaml"))
    assert found.ok
    assert [(f.rule, f.severity, f.line) for f in found.findings] == [
        ("needs-setting", "warning", 44),
        ("derived-host", "info", 31),
        ("exact-live-values", "info", 53),
    ]
    assert found.findings[0].message == "needs API_KEY (Weather API Key)"
    assert found.findings[1].message == "requests go to api.weather.com"


def test_the_weather_example_in_the_one_model():
    manifest = check(example("weather-capability.yaml")).manifest
    assert manifest is not None
    assert (manifest.id, manifest.kind, manifest.version) == ("weather-lookup", "http", "1.0.0")
    assert manifest.hosts == ("api.weather.com",)
    action = manifest.actions[0]
    assert action.http is not None
    assert action.http.query == {"location": "${input.location}"}
    assert action.http.response_mapping["condition"] == "data.weather[0].main"
    assert action.effect == "read"
    assert action.input_schema() == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"location": {"type": "string", "description": "City name or coordinates"}},
        "required": ["location"],
        "additionalProperties": False,
    }


def test_the_connector_example_in_the_one_model():
    manifest = check(example("slack-integration.json")).manifest
    assert manifest is not None
    send, channels = manifest.actions
    assert send.http is not None
    assert channels.http is not None
    assert (send.http.method, send.http.url) == ("POST", "https://slack.com/api/chat.postMessage")
    assert send.http.body is not None
    assert (send.http.body.kind, send.http.body.content) == ("json", {"channel": "{{channel}}", "text": "{{message}}"})
    assert (send.effect, channels.effect) == ("write", "read")
    assert [(p.name, p.required) for p in send.inputs] == [("channel", True), ("message", True)]
    assert channels.input_schema()["type"] == "object"
    assert "additionalProperties" not in channels.input_schema()


def test_the_code_example_in_the_one_model():
    found = check(analyzer())
    assert found.ok
    assert found.manifest is not None
    assert (found.manifest.kind, found.manifest.language) == ("code", "javascript")
    assert [(r.key, r.type, r.default) for r in found.manifest.requirements] == [
        ("maxDatasetSize", "number", 10000),
        ("DATABASE_URL", "secret", None),
        ("DATABASE_TABLES", "string", None),
    ]


def test_declared_actions_of_code_have_schemas():
    action = {
        "id": "run",
        "declared": True,
        "inputs": {"rows": {"type": "array", "required": True, "items": {"type": "number"}}, "file": {"type": "file"}},
        "outputs": {"mean": {"type": "number", "required": True}},
    }
    manifest = check(analyzer(actions=[action], permissions=["data.write"])).manifest
    assert manifest is not None
    schema = manifest.actions[0].input_schema()
    assert schema["properties"]["rows"] == {"type": "array", "items": {"type": "number"}}
    assert schema["properties"]["file"]["required"] == ["id"]
    assert manifest.actions[0].output_schema()["required"] == ["mean"]
    assert manifest.actions[0].effect == "write"


@pytest.mark.parametrize(
    ("text", "rule", "line", "path", "words"),
    [
        ("capability:\n  id: x\n  nme: y\n", "unknown-key", 3, "capability.nme", "did you mean name?"),
        ("capability:\n  name: y\n", "missing-field", 1, "capability.id", "add `id`"),
        ("capability:\n  id: x\n  version: 1.0\n", "invalid-type", 3, "capability.version", "put it in quotes"),
        ("capability:\n  id: x\n  name: [a]\n", "invalid-type", 3, "capability.name", "must be a text, but is a list"),
        ("capability:\n  id: Weather Lookup\n", "invalid-id", 2, "capability.id", "lower-case"),
        ("id: x\n", "missing-capability", 1, "", "start with `capability:`"),
        ("capability:\n", "invalid-type", 1, "capability", "must be a mapping, but is null"),
        (
            "capability:\n  id: x\n  actions:\n    - id: a\n      inputs:\n        - name: n\n          type: strng\n",
            "invalid-value",
            7,
            "capability.actions[0].inputs[0].type",
            "did you mean string?",
        ),
        (
            "capability:\n  id: x\n  actions:\n    - id: a\n      inputs:\n        n:\n          requird: true\n",
            "unknown-key",
            7,
            "capability.actions[0].inputs.n.requird",
            "did you mean required?",
        ),
        (
            "capability:\n  id: x\n  integration:\n    endpoint: https://a.example.com\n    methd: GET\n",
            "unknown-key",
            5,
            "capability.integration.methd",
            "did you mean method?",
        ),
    ],
)
def test_the_shape_is_explained_with_its_place(text, rule, line, path, words):
    found = check(load(text.encode(), "capability.yaml"))
    finding = only(found.findings, rule)
    assert found.manifest is None
    assert (finding.line, finding.path) == (line, path)
    assert words in f"{finding.message}; {finding.fix}"


def test_findings_say_where_and_what_in_one_line():
    finding = only(check(example("currency-converter.yaml")).findings, "missing-permission")
    assert str(finding) == (
        "1:1: error: convert needs network.http.get (capability.permissions); "
        "add network.http.get to `permissions` [missing-permission]"
    )


def test_a_permission_that_opens_nothing_is_said():
    asked = ["integration.crm", "network.http.get", "compute.light", "integration.crm"]
    source = document(http(permissions=asked))
    found = check(source)
    finding = only(found.findings, "permission-not-supported")
    assert found.ok
    assert (finding.severity, finding.path) == ("warning", "capability.permissions[0]")
    assert finding.message == "integration.crm will open: Access CRM; nothing of this version serves it"
    assert finding.fix == "remove integration.crm, or keep asking for a version that serves it"
    after = patched(source, finding).manifest
    assert after is not None
    assert after.permissions == ("network.http.get", "compute.light")


SECRET = {"key": "API_KEY", "type": "secret", "required": True}
FAULTS = {
    "undeclared-name": integration(params={"q": "${input.x} ${FOO}"}),
    "expression-invalid": integration(params={"q": "${input.q +}"}),
    "expression-type": http(integration={"endpoint": "https://api.example.com", "params": {"q": "${input.q + 1}"}}),
    "no-integration": http(integration=None),
    "no-actions": http(actions=[]),
    "no-api": {"capability": {"id": "x", "endpoints": [{"id": "a", "path": "/"}]}},
    "unknown-permission": http(permissions=["network.http.get", "network.http.gett"]),
    "permission-not-supported": http(permissions=["network.http.get", "integration.crm"]),
    "missing-permission": integration(method="DELETE"),
    "invalid-host": http(hosts=["localhost"]),
    "invalid-url": integration(endpoint="https://${input.q}.example.com/"),
    "plain-http": integration(endpoint="http://api.example.com/"),
    "header-refused": integration(headers={"Content-Length": "5"}),
    "body-refused": integration(body={"a": 1}),
    "body-type": integration(method="POST", body_type="form", body="a=1"),
    "unmapped-output": http(
        actions=[{"id": "get", "outputs": [{"name": "a"}, {"name": "b"}]}],
        integration={"endpoint": "https://api.example.com", "response_mapping": {"a": "data.a"}},
    ),
    "unknown-output": http(
        actions=[{"id": "get", "outputs": [{"name": "temperature"}]}],
        integration={"endpoint": "https://api.example.com", "response_mapping": {"temprature": "data.a"}},
    ),
    "duplicate-id": http(actions=[{"id": "get"}, {"id": "get"}]),
    "invalid-version": http(version="1.0"),
    "default-version": http(version=None),
    "secret-default": http(configuration=[{**SECRET, "default": "x"}]),
    "secret-host": http(configuration=[{**SECRET, "hosts": ["evil.test"]}]),
    "secret-hosts": http(hosts=["other.example.com"], configuration=[SECRET]),
    "hosts-of-setting": http(configuration=[{"key": "UNIT", "hosts": ["api.example.com"]}]),
    "default-type": http(configuration=[{"key": "N", "type": "number", "default": "7"}]),
    "ambiguous-name": http(configuration=[{"key": "q"}]),
    "dangling-reference": http(examples=[{"action": "gett", "input": {}}]),
    "ambiguous-example": http(actions=[{"id": "a"}, {"id": "b"}], examples=[{"input": {}}]),
    "example-mismatch": http(examples=[{"input": {"q": 7}}]),
    "invalid-matcher": http(examples=[{"input": {"q": "x"}, "expected_output": {"a": {"$typ": "number"}}}]),
    "auth-incomplete": integration(auth={"type": "bearer"}),
    "parameter-type": http(actions=[{"id": "get", "inputs": [{"name": "q", "type": "string", "items": {}}]}]),
    "leaked-secret": integration(headers={"X-Api-Key": "abcdefgh"}),
    "auth-not-supported": integration(auth={"type": "oauth2"}),
    "auth-unused": connector(auth={"type": "bearer", "scopes": ["x"]}),
    "credential-not-secret": connector(auth={"type": "bearer", "token": "${T}"}, configuration=[{"key": "T"}]),
    "derived-permission": connector(permissions=None),
    "derived-success": connector(base_url="https://slack.com/api"),
    "oauth-authorization-url": connector(auth={"type": "oauth2"}),
    "oauth-pkce": connector(auth={"type": "oauth2", "pkce": False}),
    "oauth-scope": connector(auth={"type": "oauth2", "scopes": ["chat:write channels:read"]}),
    "oauth-token-url": connector(auth={"type": "oauth2"}),
    "pagination-incomplete": connector({"pagination": {"kind": "page", "items": "data"}}),
    "pagination-method": connector({"method": "HEAD", "pagination": {"kind": "link", "items": "data"}}),
    "pagination-unused": connector({"pagination": {"kind": "link", "items": "data", "cursor": "data.next"}}),
    "path-escapes": connector({"path": "/%2e%2E/admin"}),
    "retry-without-key": connector({"method": "POST", "retry": 2}, permissions=["network.http.post"]),
    "trigger-schedule": http(triggers=[{"id": "daily", "type": "schedule", "schedule": "daily"}]),
    "trigger-event": http(triggers=[{"id": "moon", "type": "event", "event": "moon.full"}]),
    "webhook-event": http(
        triggers=[{"id": "h", "type": "webhook", "event": "moon.full", "verifier": {"kind": "none"}}]
    ),
}


def test_a_template_in_place_of_an_expression_is_explained():
    source = document(integration(response_mapping={"a": "${data.a}"}, success="{{ data.ok }}"))
    findings = [finding for finding in check(source).findings if finding.rule == "expression-invalid"]
    assert [finding.fix for finding in findings] == ["write data.a", "write data.ok"]
    for finding in findings:
        assert finding.path not in {f.path for f in patched(source, finding).findings}


@pytest.mark.parametrize("rule", FAULTS)
def test_each_fault_is_found(rule):
    assert rule in rules(report(FAULTS[rule]).findings)


@pytest.mark.parametrize(
    "hostile",
    ["file.constructor.constructor('return process')()", "(" * 4000 + "true" + ")" * 4000, "event.a.matches('(a+)+$'"],
)
def test_a_hostile_filter_is_refused_with_its_place(hostile):
    trigger = {"id": "daily", "type": "schedule", "schedule": "0 9 * * *", "filter": hostile}
    findings = [found for found in report(http(triggers=[trigger])).findings if "triggers[0].filter" in found.path]
    assert [found.severity for found in findings] == ["error"]
    assert findings[0].line > 1


def test_a_schedule_in_its_zone_has_no_faults():
    trigger = {"id": "daily", "type": "schedule", "schedule": "0 9 * * mon-fri", "time_zone": "Europe/Berlin"}
    assert rules(report(http(triggers=[{**trigger, "input": {"q": "${event.time}"}}])).findings) == {"derived-host"}


def test_a_correct_capability_has_no_faults():
    assert rules(report(http()).findings) == {"derived-host"}


@pytest.mark.parametrize("rule", FAULTS)
def test_faults_have_a_place_in_the_file(rule):
    finding = next(f for f in report(FAULTS[rule]).findings if f.rule == rule)
    assert finding.line > 1
    assert finding.path.startswith("capability")


PERMISSIONS = st.lists(
    st.sampled_from(["network.http.get", "network.http.post", "database.read", "http.get", "zzz", "ai.call"]),
    max_size=3,
)
TEXTS = st.sampled_from(
    ["${input.q}", "${q}", "${API_KEY}", "${OTHER_KEY}", "${nope}", "{{x}} y", "abcdefgh1234", "AKIAIOSFODNN7EXAMPLE"]
)
SETTINGS = st.none() | st.lists(st.just(SECRET), max_size=1) | st.just({"API_KEY": {"type": "secret"}})
TRIGGER = {"id": "hook", "type": "webhook"}
TRIGGERS = st.none() | st.sampled_from(
    [
        [TRIGGER],
        [{**TRIGGER, "verifier": {"kind": "hmac", "secret": "HOOK_KEY", "header": "x-signature"}}],
        [{**TRIGGER, "verifier": {"kind": "hmac"}}],
    ]
)
EXAMPLES = st.none() | st.just([{"input": {"q": "a"}, "expected_output": {"a": 1, "b": ["x"], "c": None}}])
INTEGRATIONS = st.fixed_dictionaries(
    {"endpoint": st.sampled_from(["https://api.example.com/", "https://slack.com/api/x", "http://a.example.com/${q}"])},
    optional={
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "headers": st.dictionaries(st.sampled_from(["Authorization", "X-Api-Key", "Accept"]), TEXTS, max_size=2),
        "params": st.dictionaries(st.sampled_from(["q", "token"]), TEXTS, max_size=2),
        "auth": st.sampled_from(
            [{"type": "bearer", "token": "abcdefghij"}, {"type": "oauth2", "token_url": "https://a.example.com/t"}]
        ),
    },
)


AUTHS = st.none() | st.fixed_dictionaries(
    {"type": st.sampled_from(["none", "bearer", "basic", "api_key", "oauth2"])},
    optional={
        "token": TEXTS,
        "name": st.sampled_from(["X-Key", "key"]),
        "value": TEXTS,
        "in": st.sampled_from(["header", "query"]),
        "username": TEXTS,
        "password": TEXTS,
        "token_url": st.just("https://a.example.com/t"),
        "scopes": st.lists(st.sampled_from(["a", "b c"]), max_size=2),
        "pkce": st.booleans(),
    },
)
ENDPOINTS = st.fixed_dictionaries(
    {"inputs": st.just({"q": {"type": "string"}})},
    optional={
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "path": st.sampled_from(["/x", "/{{q}}", "/../x", "/%2e%2e/${nope}", "?q=${API_KEY}"]),
        "success": st.sampled_from(["data.ok", "${data.ok}"]),
        "headers": st.dictionaries(st.sampled_from(["Authorization", "Host"]), TEXTS, max_size=1),
        "retry": st.sampled_from([0, 2]),
    },
)
CONNECTORS = st.builds(
    connector,
    ENDPOINTS,
    base_url=st.sampled_from(["https://api.example.com/", "https://slack.com/api", "https://a.test/?x", "nowhere"]),
    auth=AUTHS,
    permissions=st.none() | PERMISSIONS,
    configuration=SETTINGS,
    triggers=TRIGGERS,
)


@given(
    CONNECTORS
    | st.builds(
        http,
        permissions=st.none() | PERMISSIONS,
        integration=INTEGRATIONS,
        configuration=SETTINGS,
        triggers=TRIGGERS,
        examples=EXAMPLES,
        version=st.sampled_from([None, "1.0.0"]),
    )
)
def test_a_patch_makes_its_finding_vanish(data):
    source = document(data)
    for finding in check(source).findings:
        if finding.patch:
            after = {(f.rule, f.path, f.message) for f in patched(source, finding).findings}
            assert (finding.rule, finding.path, finding.message) not in after


@pytest.mark.parametrize(
    "name", ["weather-capability.yaml", "currency-converter.yaml", "invoice-processor.yaml", "slack-integration.json"]
)
def test_the_patches_of_the_examples_make_their_findings_vanish(name):
    source = example(name)
    with_patch = [finding for finding in check(source).findings if finding.patch]
    assert with_patch
    for finding in with_patch:
        after = {(f.rule, f.path, f.message) for f in patched(source, finding).findings}
        assert (finding.rule, finding.path, finding.message) not in after


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=4), parts, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "actions",
    "integration",
    "configuration",
    "permissions",
    "examples",
    "triggers",
    "workflow",
    "flow",
    "api",
    "endpoints",
    "hosts",
    "id",
]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
def test_any_data_is_checked_or_explained(changes):
    found = report(http(**changes))
    assert found.ok or found.findings


def test_many_actions_that_share_many_texts_are_refused():
    shared = {f"h{number}": "${input.q}" for number in range(200)}
    actions = [{"id": f"a{number}"} for number in range(200)]
    found = report(http(actions=actions, integration={"endpoint": "https://api.example.com", "params": shared}))
    assert "too-many-expressions" in rules(found.findings)
