"""The broker's rules over method, URL and headers, as tables of what hostile code would try."""

import string
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardpoint.errors.v1.error_reason_pb2 import ErrorReason
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.policy import FetchPolicy, Target, check_headers, parse_url
from hardpoint_kit.address import public_address
from hardpoint_manifest.authority import HTTP_METHODS, PERMISSIONS, Authority

HOSTS = frozenset({"api.example.com", "files.example.com:8443", "plain.example.com:80", "*.good.org"})
POLICY = FetchPolicy(frozenset({"network.http.get"}), HOSTS)

HOSTILE_URLS = {
    "": DenialCode.URL_REFUSED,
    "/v1/current": DenialCode.URL_REFUSED,
    "//api.example.com/": DenialCode.URL_REFUSED,
    "https:/api.example.com/": DenialCode.URL_REFUSED,
    "https:api.example.com": DenialCode.URL_REFUSED,
    "ftp://api.example.com/": DenialCode.URL_REFUSED,
    "file:///etc/passwd": DenialCode.URL_REFUSED,
    "gopher://api.example.com:443/_x": DenialCode.URL_REFUSED,
    "javascript://api.example.com/%0aalert(1)": DenialCode.URL_REFUSED,
    "unix://api.example.com/run/docker.sock": DenialCode.URL_REFUSED,
    " https://api.example.com/": DenialCode.URL_REFUSED,
    "https://api.example.com/\r\nX-Evil: 1": DenialCode.URL_REFUSED,
    "https://api.example.com/\x00": DenialCode.URL_REFUSED,
    "https://api.example.com\t.evil.test/": DenialCode.URL_REFUSED,
    "https://api.example.com\\@evil.test/": DenialCode.URL_REFUSED,
    "https://evil.test\\.good.org/": DenialCode.URL_REFUSED,
    "https://api.example.com/%zz": DenialCode.URL_REFUSED,
    "https://аpi.example.com/": DenialCode.URL_REFUSED,  # a Cyrillic letter
    "https://api。example。com/": DenialCode.URL_REFUSED,
    "https://１２７.0.0.1/": DenialCode.URL_REFUSED,
    "https://api.example.com:0/": DenialCode.URL_REFUSED,
    "https://api.example.com:99999/": DenialCode.URL_REFUSED,
    "https://api.example.com:443x/": DenialCode.URL_REFUSED,
    "https://api.example.com:/": DenialCode.URL_REFUSED,
    "https://api.example.com/" + "a" * 9000: DenialCode.URL_REFUSED,
    "https://user@api.example.com/": DenialCode.USERINFO_REFUSED,
    "https://api.example.com@evil.test/": DenialCode.USERINFO_REFUSED,
    "https://api.example.com:443@evil.test/": DenialCode.USERINFO_REFUSED,
    "https:///v1": DenialCode.HOST_NOT_A_NAME,
    "https://:443/": DenialCode.HOST_NOT_A_NAME,
    "http://127.0.0.1/": DenialCode.HOST_NOT_A_NAME,
    "http://2130706433/": DenialCode.HOST_NOT_A_NAME,
    "http://0x7f000001/": DenialCode.HOST_NOT_A_NAME,
    "http://0x7f.1/": DenialCode.HOST_NOT_A_NAME,
    "http://0177.0.0.1/": DenialCode.HOST_NOT_A_NAME,
    "http://127.1/": DenialCode.HOST_NOT_A_NAME,
    "http://127.0.0.0x1/": DenialCode.HOST_NOT_A_NAME,
    "http://0/": DenialCode.HOST_NOT_A_NAME,
    "http://8.8.8.8/": DenialCode.HOST_NOT_A_NAME,
    "http://[::1]/": DenialCode.HOST_NOT_A_NAME,
    "http://[::ffff:169.254.169.254]/": DenialCode.HOST_NOT_A_NAME,
    "http://[fe80::1%25eth0]/": DenialCode.HOST_NOT_A_NAME,
    "http://169.254.169.254/latest/meta-data/": DenialCode.HOST_NOT_A_NAME,
    "http://localhost/": DenialCode.HOST_NOT_A_NAME,
    "http://metadata/": DenialCode.HOST_NOT_A_NAME,
    "https://api.example.com./": DenialCode.HOST_NOT_A_NAME,
    "https://.api.example.com/": DenialCode.HOST_NOT_A_NAME,
    "https://api..example.com/": DenialCode.HOST_NOT_A_NAME,
    "https://api%2eexample%2ecom/": DenialCode.HOST_NOT_A_NAME,
    "https://-api.example.com/": DenialCode.HOST_NOT_A_NAME,
    "https://" + "a." * 130 + "com/": DenialCode.HOST_NOT_A_NAME,
    "https://evil.test/": DenialCode.HOST_NOT_GRANTED,
    "https://evil.test#@api.example.com/": DenialCode.HOST_NOT_GRANTED,
    "https://evil.test?@api.example.com/": DenialCode.HOST_NOT_GRANTED,
    "https://api.example.com.evil.test/": DenialCode.HOST_NOT_GRANTED,
    "https://notapi.example.com/": DenialCode.HOST_NOT_GRANTED,
    "https://example.com/": DenialCode.HOST_NOT_GRANTED,
    "https://good.org/": DenialCode.HOST_NOT_GRANTED,
    "https://evilgood.org/": DenialCode.HOST_NOT_GRANTED,
    "https://a.good.org.evil.test/": DenialCode.HOST_NOT_GRANTED,
    "https://api.example.com:8443/": DenialCode.HOST_NOT_GRANTED,
    "https://files.example.com/": DenialCode.HOST_NOT_GRANTED,
    "http://api.example.com/": DenialCode.HOST_NOT_GRANTED,
    "https://metadata.google.internal/": DenialCode.HOST_NOT_GRANTED,
}

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2130706433",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "localhost",
    "",
]

BAD_HEADERS = [
    {"X-A": "1\r\nX-B: 2"},
    {"X-A": "1\nX-B: 2"},
    {"X-A": "1\x00"},
    {"X-A": "caf\u00e9"},
    {"X-A\r\nX-B": "1"},
    {"X A": "1"},
    {"X-A:": "1"},
    {"": "1"},
    {"Host": "evil.test"},
    {"hOsT": "evil.test"},
    {"Content-Length": "5"},
    {"Transfer-Encoding": "chunked"},
    {"Connection": "close"},
    {"Upgrade": "h2c"},
    {"TE": "trailers"},
    {"Expect": "100-continue"},
    {"Accept-Encoding": "gzip"},
    {"Proxy-Authorization": "Basic eA=="},
    {"Proxy-Connection": "keep-alive"},
    {"Metadata-Flavor": "Google"},
    {"X-Google-Metadata-Request": "True"},
    {"X-aws-ec2-metadata-token": "x"},
    {"X-aws-ec2-metadata-token-ttl-seconds": "21600"},
    {"Metadata": "true"},
    {"X-aliyun-ecs-metadata-token": "x"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"x-method-override": "DELETE"},
    {"X-HTTP-Method": "DELETE"},
    {"traceparent": "00-0-0-01"},
    {"tracestate": "a=b"},
    {"Accept": "a", "accept": "b"},
    {f"X-{i}": "1" for i in range(65)},
    {"X-A": "a" * (16 * 1024)},
]


def test_every_code_is_a_reason_of_the_contract() -> None:
    assert {code.name for code in DenialCode} <= set(ErrorReason.keys())
    assert all(code.name == code.value for code in DenialCode)


@pytest.mark.parametrize(("url", "code"), HOSTILE_URLS.items())
def test_hostile_url_is_refused(url: str, code: DenialCode) -> None:
    with pytest.raises(BrokerDenied) as denied:
        POLICY.target(url)
    assert denied.value.code == code
    assert denied.value.message
    assert denied.value.fix


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.example.com", Target("https", "api.example.com", 443, "/")),
        ("HTTPS://API.Example.com/V1?q=a%20b#top", Target("https", "api.example.com", 443, "/V1?q=a%20b")),
        ("https://api.example.com:443?x=1", Target("https", "api.example.com", 443, "/?x=1")),
        ("https://files.example.com:8443/a", Target("https", "files.example.com", 8443, "/a")),
        ("http://plain.example.com/", Target("http", "plain.example.com", 80, "/")),
        ("https://a.good.org/", Target("https", "a.good.org", 443, "/")),
        ("https://a_b.c.good.org/", Target("https", "a_b.c.good.org", 443, "/")),
        ("https://api.example.com/#@evil.test/", Target("https", "api.example.com", 443, "/")),
        ("https://api.example.com/a?b[]=c@d:8080", Target("https", "api.example.com", 443, "/a?b[]=c@d:8080")),
    ],
)
def test_granted_url_is_read(url: str, target: Target) -> None:
    assert POLICY.target(url) == target


@pytest.mark.parametrize("host", ["metadata.google.internal", "printer.local", "a.-b.test", "x.localhost"])
def test_a_host_that_nobody_can_declare_is_refused_without_a_patch(host: str) -> None:
    with pytest.raises(BrokerDenied) as denied:
        POLICY.target(f"https://{host}/")
    assert denied.value.code in (DenialCode.HOST_NOT_GRANTED, DenialCode.HOST_NOT_A_NAME)
    assert "patch" not in denied.value.facts


def test_a_denied_host_is_named_with_the_grant_to_add() -> None:
    with pytest.raises(BrokerDenied) as denied:
        POLICY.target("https://evil.test:8443/?key=hunter2")
    assert denied.value.message == "host evil.test:8443 is not granted"
    assert 'declare "evil.test:8443" in `hosts`' in denied.value.fix


def test_no_grant_covers_a_top_level_domain() -> None:
    with pytest.raises(BrokerDenied):
        FetchPolicy(frozenset(), frozenset({"*.com", "*", "*."})).target("https://example.com/")


LABELS = st.sampled_from(["api", "example", "com", "good", "org", "evil", "test", "a", "files", "plain", "127", "0x1"])
URLS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "ftp://", "https:/"]),
    st.one_of(st.just(""), st.text(string.ascii_letters + "@:.\\#?", max_size=4)),
    st.lists(LABELS, min_size=1, max_size=5).map(".".join),
    st.sampled_from(["", ":443", ":80", ":8443", ":", "@evil.test", "\\evil.test", ".", "%2eevil.test"]),
    st.one_of(st.just("/"), st.text(max_size=8)),
)


@given(URLS)
@example("https://evil.test#.good.org")
@example("https://evil.test?.good.org")
def test_no_accepted_url_has_a_host_outside_the_grants(url: str) -> None:
    try:
        target = POLICY.target(url)
    except BrokerDenied:
        return
    read_by_another = urlsplit(url)
    assert read_by_another.hostname == target.host
    assert Authority(frozenset(), HOSTS).allows_host(target.host, target.port)
    assert parse_url(target.url) == target


@given(st.text())
def test_any_text_is_read_or_denied(url: str) -> None:
    try:
        message = repr(parse_url(url))
    except BrokerDenied as denied:
        message = denied.message
    assert message.isprintable()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_address_is_not_public(address: str) -> None:
    assert not public_address(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::1"])
def test_address_is_public(address: str) -> None:
    assert public_address(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_ipv6_is_never_public(address: object) -> None:
    assert not public_address(f"::ffff:{address}")
    assert not public_address(f"64:ff9b::{address}")


@pytest.mark.parametrize("method", HTTP_METHODS)
def test_each_method_needs_its_own_permission(method: str) -> None:
    permission = f"network.http.{method.lower()}"
    assert FetchPolicy(frozenset({permission}), HOSTS).method(method.lower()) == method
    with pytest.raises(BrokerDenied) as denied:
        FetchPolicy(frozenset(PERMISSIONS) - {permission}, HOSTS).method(method)
    assert denied.value.code == DenialCode.PERMISSION_NOT_GRANTED
    assert permission in denied.value.message
    assert f'declare "{permission}" in `permissions`' in denied.value.fix


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "", "GET ", "GET\r\nX: 1", "PROPFIND", "__proto__"])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(BrokerDenied) as denied:
        FetchPolicy(frozenset(PERMISSIONS), HOSTS).method(method)
    assert denied.value.code == DenialCode.METHOD_REFUSED


@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_header_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BrokerDenied) as denied:
        check_headers(headers)
    assert denied.value.code == DenialCode.HEADER_REFUSED


def test_ordinary_headers_pass() -> None:
    check_headers(
        {"Authorization": "Bearer x", "Accept": "*/*", "Cookie": "a=b", "X-Request-Id": "1", "If-Match": '"e"'}
    )
