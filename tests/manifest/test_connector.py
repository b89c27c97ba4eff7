"""API connectors: what follows from `api` and `endpoints`, and what is refused in them."""

import pytest

from hardpoint_manifest.check import check
from manifest.documents import connector, document, example, http, only, patched, report, rules

AUTHS = {
    "none": ({"type": "none"}, {}, {}, []),
    "bearer": ({"type": "bearer"}, {"Authorization": "Bearer ${API_TOKEN}"}, {}, ["API_TOKEN"]),
    "key in a header": ({"type": "api_key", "name": "X-Key"}, {"X-Key": "${API_KEY}"}, {}, ["API_KEY"]),
    "key in the query": (
        {"type": "api_key", "name": "key", "in": "query"},
        {},
        {"key": "${API_KEY}"},
        ["API_KEY"],
    ),
    "basic": ({"type": "basic"}, {}, {}, ["USERNAME", "PASSWORD"]),
    "oauth2": ({"type": "oauth2"}, {"Authorization": "Bearer ${ACCESS_TOKEN}"}, {}, ["ACCESS_TOKEN"]),
    "named": ({"type": "bearer", "token": "{{ BOT_TOKEN }}"}, {"Authorization": "Bearer {{ BOT_TOKEN }}"}, {}, None),
}


@pytest.mark.parametrize("kind", AUTHS)
def test_a_credential_that_is_not_declared_is_a_secret_for_the_connectors_own_host(kind):
    auth, headers, query, keys = AUTHS[kind]
    found = report(connector(auth=auth, hosts=["other.example.com"]))
    assert found.ok, found.findings
    assert found.manifest is not None
    call = found.manifest.actions[0].http
    assert call is not None
    assert (call.headers, call.query) == (headers, query)
    secrets = found.manifest.requirements
    assert [secret.key for secret in secrets] == (["BOT_TOKEN"] if keys is None else keys)
    for secret in secrets:
        assert (secret.type, secret.required, secret.hosts) == ("secret", True, ("api.example.com",))
        assert secret.label.endswith("of api.example.com")
        assert any(f.rule == "needs-setting" and secret.key in f.message for f in found.findings)


def test_basic_is_a_name_and_a_password():
    call = report(connector(auth={"type": "basic", "username": "agent", "password": "${KEY}"})).manifest.actions[0].http
    assert (call.basic.username, call.basic.password) == ("agent", "${KEY}")
    assert report(connector(auth={"type": "basic", "username": "${KEY}", "password": ""})).ok
    refused = report(connector(auth={"type": "basic", "username": "me", "password": ""}))
    assert "credential-not-secret" in rules(refused.findings)


@pytest.mark.parametrize("text", ["${input.q}", "${size(PASSWORD)}", "${PASSWORD + 'x'}"])
def test_a_password_is_a_setting_as_it_stands(text):
    found = report(connector(auth={"type": "basic", "password": text}))
    assert not found.ok
    assert {"undeclared-name", "secret-misplaced"} & rules(found.findings)


def test_a_declared_secret_is_used_as_it_is_declared():
    setting = {"key": "API_TOKEN", "label": "Robot's token", "type": "secret", "hosts": ["api.example.com"]}
    found = report(connector(auth={"type": "bearer"}, configuration=[setting]))
    assert found.ok
    assert [(s.label, s.pointer) for s in found.manifest.requirements] == [
        ("Robot's token", "/capability/configuration/0")
    ]


@pytest.mark.parametrize("settings", [{"auth": {"type": "secret"}}, [{"key": "auth", "type": "secret"}]])
def test_a_setting_may_be_called_auth(settings):
    (setting,) = report(connector(configuration=settings)).manifest.requirements
    assert setting.declared


def test_a_derived_secret_goes_to_no_other_host():
    mixed = connector(auth={"type": "bearer"})
    other = {"endpoint": "https://other.example.com/", "headers": {"X-Token": "${API_TOKEN}"}}
    mixed["capability"]["actions"] = [{"id": "leak", "integration": other}]
    finding = only(report(mixed).findings, "secret-host")
    assert finding.path == "capability.actions[0].integration.headers.X-Token"
    assert "is for api.example.com, and would be sent to other.example.com" in finding.message


def test_the_slack_example_asks_for_one_token():
    found = check(example("slack-integration.json"))
    assert found.ok
    (token,) = found.manifest.requirements
    assert (token.key, token.type, token.required, token.hosts) == ("ACCESS_TOKEN", "secret", True, ("slack.com",))
    assert token.label == "Access token of slack.com"
    assert token.description == "Access token of slack.com with the scopes chat:write, channels:read"
    assert token.help_url == "https://api.slack.com/apps"
    signing = found.manifest.oauth2
    assert (signing.setting, signing.token_url) == ("ACCESS_TOKEN", "https://slack.com/api/oauth.v2.access")
    assert signing.authorization_url == "https://slack.com/oauth/v2/authorize"
    assert (signing.grant, signing.scopes, signing.pkce) == (
        "authorization_code",
        ("chat:write", "channels:read"),
        True,
    )
    finding = only(found.findings, "needs-setting")
    assert (finding.path, finding.line) == ("capability.api.auth", 11)


SLACK = "https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access"
OTHER = {
    "authorization_url": "https://slack.com/openid/connect/authorize",
    "token_url": "https://slack.com/api/openid.connect.token",
}
ELSEWHERE = "https://id.example.com/token"


@pytest.mark.parametrize(
    ("auth", "places"),
    [
        ({}, SLACK),
        ({"token_url": ELSEWHERE}, SLACK),
        ({"authorization_url": SLACK[0], "token_url": ELSEWHERE}, SLACK),
        (OTHER, tuple(OTHER.values())),
        ({"grant": "client_credentials", "token_url": ELSEWHERE}, ("", ELSEWHERE)),
    ],
)
def test_codes_of_a_known_page_go_nowhere_else(auth, places):
    found = report(connector(base_url="https://slack.com/api", auth={"type": "oauth2", **auth}))
    assert (found.manifest.oauth2.authorization_url, found.manifest.oauth2.token_url) == places
    told = {finding.rule: finding.message for finding in found.findings}
    assert ("so it is not used" in told.get("oauth-token-url", "")) is (places == SLACK)


@pytest.mark.parametrize("settings", [[{"key": "bot_token", "type": "secret"}], {"bot_token": {"type": "secret"}}])
def test_the_access_token_may_be_a_declared_secret(settings):
    found = report(connector(auth={"type": "oauth2", "token": "${bot_token}"}, configuration=settings))
    assert found.ok
    assert found.manifest.oauth2.setting == "bot_token"
    assert [secret.key for secret in found.manifest.requirements] == ["bot_token"]


@pytest.mark.parametrize("token", ["short", "${input.q}", "{{q}}"])
def test_an_access_token_is_a_secret_and_nothing_else(token):
    found = report(connector({"inputs": {"q": {}}}, auth={"type": "oauth2", "token": token}))
    assert only(found.findings, "credential-not-secret").path == "capability.api.auth.token"
    assert found.manifest.oauth2 is None


def test_client_credentials_need_no_consent():
    auth = {"type": "oauth2", "grant": "client_credentials", "token_url": "https://id.example.com/token"}
    found = report(connector(auth=auth))
    assert not {"oauth-authorization-url", "oauth-pkce"} & rules(found.findings)
    assert found.manifest.oauth2.grant == "client_credentials"


@pytest.mark.parametrize("url", ["http://id.example.com/token", "https://localhost/token", "nowhere", "https://${q}/t"])
def test_codes_and_tokens_travel_to_public_hosts_by_https(url):
    finding = only(report(connector(auth={"type": "oauth2", "token_url": url})).findings, "invalid-url")
    assert finding.path == "capability.api.auth.token_url"


@pytest.mark.parametrize(
    ("auth", "place"),
    [
        ({"type": "api_key"}, "capability.api.auth"),
        ({"type": "bearer", "token": "abcdefghij"}, "capability.api.auth.token"),
        ({"type": "basic", "password": "correct-horse-9"}, "capability.api.auth.password"),
    ],
)
def test_a_credential_is_complete_and_stands_nowhere_in_the_file(auth, place):
    found = report(connector(auth=auth))
    assert place in {f.path for f in found.findings if f.severity == "error"}


def test_unknown_keys_of_auth_name_the_nearest():
    for changes, fix in (
        ({"auth": {"type": "oauth2", "token_ulr": "x"}}, "did you mean token_url?"),
        ({"auth": {"type": "basic", "pasword": "x"}}, "did you mean password?"),
    ):
        assert only(report(connector(**changes)).findings, "unknown-key").fix == fix
    assert only(report(connector({"pth": "/"})).findings, "unknown-key").fix == "did you mean path?"
    assert "did you mean basic?" in only(report(connector(auth={"type": "basci"})).findings, "invalid-value").fix


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://a.example.com", "/x", "https://a.example.com/x"),
        ("https://a.example.com/v1/", "x/", "https://a.example.com/v1/x/"),
        ("https://a.example.com/v1", "", "https://a.example.com/v1"),
        ("https://a.example.com/v1", "?kind=all", "https://a.example.com/v1?kind=all"),
        ("https://a.example.com/v1", "//evil.test/x", "https://a.example.com/v1/evil.test/x"),
        ("https://a.example.com/v1", "https://evil.test/x", "https://a.example.com/v1/https://evil.test/x"),
        ("https://a.example.com", "@evil.test/x", "https://a.example.com/@evil.test/x"),
        ("https://a.example.com", ".evil.test/x", "https://a.example.com/.evil.test/x"),
    ],
)
def test_an_endpoint_lies_below_the_base_url(base, path, url):
    found = report(connector({"path": path}, base_url=base))
    assert found.ok, found.findings
    assert found.manifest.actions[0].http.url == url
    assert found.manifest.hosts == ("a.example.com",)


@pytest.mark.parametrize(
    "path", ["/../x", "..", "/a/./b", "/%2e%2e/x", "/.%2E/x", "/a%2f..%2fb", "\\..\\x", "/a%5c..%5cb", "/{{q}}/../x"]
)
def test_a_path_that_climbs_is_an_error_where_it_stands(path):
    inputs = {"q": {"type": "string", "required": True}}
    finding = next(f for f in report(connector({"path": path, "inputs": inputs})).findings if f.rule == "path-escapes")
    assert (finding.severity, finding.path) == ("error", "capability.endpoints[0].path")


@pytest.mark.parametrize("path", ["/x#y", "/a b", "/ä"])
def test_a_path_holds_what_a_url_may_hold(path):
    found = report(connector({"path": path}))
    assert only(found.findings, "invalid-url").path == "capability.endpoints[0].path"


@pytest.mark.parametrize(
    "base", ["https://a.example.com/v1?x=", "https://a.example.com/#", "https://a.example.com/../x"]
)
def test_a_base_url_is_a_place_that_paths_can_follow(base):
    found = report(connector(base_url=base))
    assert {f.path for f in found.findings if f.severity == "error"} == {"capability.api.base_url"}


def test_what_a_path_names_is_an_input():
    finding = only(report(connector({"path": "/{{chanel}}", "inputs": {"channel": {}}})).findings, "undeclared-name")
    assert (finding.path, finding.fix) == ("capability.endpoints[0].path", "did you mean channel?")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_what_does_the_same_again_may_be_repeated(method):
    data = connector({"method": method, "retry": 3}, permissions=[f"network.http.{method.lower()}"])
    found = report(data)
    assert "retry-without-key" not in rules(found.findings)
    assert found.manifest.actions[0].http.retry == 3


def test_a_post_is_repeated_with_a_key_alone():
    data = connector({"method": "POST", "retry": 2}, permissions=["network.http.post"])
    source = document(data)
    finding = only(check(source).findings, "retry-without-key")
    assert (finding.severity, finding.path) == ("warning", "capability.endpoints[0].retry")
    assert "retry-without-key" not in rules(patched(source, finding).findings)
    data["capability"]["api"]["idempotency"] = {"header": "Idempotency-Key"}
    found = report(data)
    assert "retry-without-key" not in rules(found.findings)
    assert found.manifest.actions[0].http.idempotency_header == "Idempotency-Key"


def test_what_is_shared_is_each_endpoints_own_unless_it_says_otherwise():
    data = connector({"retry": 0}, retry=3, headers={"X-Version": "2"})
    data["capability"]["endpoints"].append({"id": "other", "path": "/other"})
    calls = [action.http for action in report(data).manifest.actions]
    assert [call.retry for call in calls] == [0, 3]
    assert {call.headers["X-Version"] for call in calls} == {"2"}


def test_the_nearest_of_two_headers_counts_whatever_its_letters():
    data = connector(
        {"headers": {"authorization": "Digest x", "X-A": "2"}}, auth={"type": "bearer"}, headers={"x-a": "1"}
    )
    assert report(data).manifest.actions[0].http.headers == {"X-A": "2", "authorization": "Digest x"}


def test_a_shared_key_is_for_what_would_happen_twice():
    data = connector(idempotency={"header": "Idempotency-Key"}, permissions=None)
    data["capability"]["endpoints"].append({"id": "make", "method": "POST", "path": "/items"})
    headers = [action.http.idempotency_header for action in report(data).manifest.actions]
    assert headers == ["", "Idempotency-Key"]


@pytest.mark.parametrize("name", ["Host", "X Y", "proxy-authorization"])
def test_a_shared_header_is_checked_like_every_other(name):
    assert only(report(connector(headers={name: "x"})).findings, "header-refused").path.startswith("capability.api")
    assert "header-refused" in rules(report(connector(idempotency={"header": name})).findings)


def test_what_is_no_connector_writes_its_permissions():
    assert "missing-permission" in rules(report(http(permissions=None)).findings)
    assert "missing-permission" in rules(report(connector(permissions=[])).findings)


CURSOR = {"kind": "cursor", "items": "data.rows", "cursor": "data.next", "parameter": "after"}


def test_a_mapping_of_a_list_in_pages_knows_items_and_more():
    mapping = {"rows": "items", "n": "size(items)", "cut": "more"}
    outputs = {"rows": {"type": "array"}, "n": {"type": "integer"}, "cut": {"type": "boolean"}}
    found = report(connector({"pagination": CURSOR, "response_mapping": mapping, "outputs": outputs}))
    assert found.ok, found.findings
    pages = found.manifest.actions[0].http.pagination
    assert (pages.kind, pages.max_pages, pages.max_items) == ("cursor", 10, 1000)
    assert not report(connector({"response_mapping": mapping, "outputs": outputs})).ok
    unknown = only(report(connector({"pagination": {**CURSOR, "cursor": "more"}})).findings, "undeclared-name")
    assert unknown.path == "capability.endpoints[0].pagination.cursor"


@pytest.mark.parametrize(
    ("endpoint", "rule", "path"),
    [
        ({"pagination": {"kind": "cursor", "items": "data"}}, "pagination-incomplete", "pagination"),
        ({"pagination": {"kind": "page", "items": "data"}}, "pagination-incomplete", "pagination"),
        ({"pagination": {**CURSOR, "parameter": None}}, "pagination-incomplete", "pagination"),
        ({"pagination": CURSOR, "outputs": {"rows": {}}}, "unmapped-output", "pagination"),
        ({"pagination": {**CURSOR, "first": 0}}, "pagination-unused", "pagination.first"),
        ({"pagination": {**CURSOR, "kind": "link"}}, "pagination-unused", "pagination.cursor"),
        ({"pagination": CURSOR, "method": "HEAD"}, "pagination-method", "pagination"),
        ({"pagination": {**CURSOR, "items": "status"}}, "expression-type", "pagination.items"),
        ({"pagination": {**CURSOR, "items": "${data.rows}"}}, "expression-invalid", "pagination.items"),
        ({"pagination": {**CURSOR, "max_pages": 11}}, "invalid-value", "pagination.max_pages"),
        ({"pagination": {**CURSOR, "cusror": "x"}}, "unknown-key", "pagination.cusror"),
    ],
)
def test_pages_have_what_their_kind_needs(endpoint, rule, path):
    found = report(connector(endpoint))
    assert f"capability.endpoints[0].{path}" in {f.path for f in found.findings if f.rule == rule}


@pytest.mark.parametrize(
    ("body", "words", "kind"),
    [
        ({"a": 1}, {}, "json"),
        ({"a": 1}, {"headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}}, "form"),
        ({"a": 1}, {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body_type": "json"}, "json"),
        ([1], {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "json"),
        ("a=1", {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "raw"),
        ({"a": 1}, {"body_type": "form"}, "form"),
    ],
)
def test_a_body_is_what_its_content_type_says(body, words, kind):
    found = report(connector({"method": "POST", "body": body, **words}, permissions=["network.http.post"])).manifest
    assert found is not None
    assert found.actions[0].http.body.kind == kind


def test_a_body_is_a_form_where_all_endpoints_say_so():
    shared = {"Content-Type": "application/x-www-form-urlencoded"}
    found = report(connector({"method": "POST", "body": {"a": 1}}, headers=shared)).manifest
    assert found is not None
    assert found.actions[0].http.body.kind == "form"
