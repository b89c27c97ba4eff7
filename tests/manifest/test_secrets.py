"""Leaked secrets: what is recognised, that none is repeated in a finding, and what is left alone."""

import pytest

from hardpoint_manifest.check import check
from hardpoint_manifest.load import load, load_code
from manifest.documents import analyzer, http, integration, only, patched, report, rules
from manifest.documents import document as as_document

# Put together here, so that no scanner takes this file for a leak.
LEAKS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "xoxb-" + "123456789012-abcdefghijkl",
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2,
    "github_pat_" + "a1B2c3D4e5F6g7H8i9J0" * 3,
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "sk_live_" + "a1B2c3D4e5F6g7H8",
    "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_known_secrets_are_found_anywhere(leak):
    found = report(http(description=f"use {leak} here"))
    finding = only(found.findings, "leaked-secret")
    assert not found.ok
    assert finding.line > 1
    assert leak not in finding.message + finding.fix


def test_comments_and_code_count_too():
    leak = LEAKS[0]
    text = f"# {leak}\ncapability:\n  id: x\n"
    assert only(check(load(text.encode(), "x.yaml")).findings, "leaked-secret").line == 1
    source = f"export default {{\n  id: 'x',\n  actions: {{ async run() {{ return '{leak}' }} }} }}\n"
    header = {"id": "x", "actions": [{"id": "run", "async": True}]}
    assert only(check(load_code(source.encode(), "x.js", header)).findings, "leaked-secret").line == 3


def test_an_escape_hides_nothing():
    text = '{"capability": {"id": "x", "description": "\\u0041KIA' + LEAKS[0][4:] + '"}}'
    assert "leaked-secret" in rules(check(load(text.encode(), "x.json")).findings)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"Authorization": "Bearer abcdefgh"}},
        {"headers": {"X-Api-Key": "abcdefgh"}},
        {"params": {"api_key": "abcdefgh"}},
        {"headers": {"X-Custom": "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"}},
        {"auth": {"type": "bearer", "token": "abcdefgh"}},
        {"auth": {"type": "api_key", "name": "X-Key", "value": "abcdefgh"}},
    ],
)
def test_literal_credentials_are_found_and_patched(changes):
    source = as_document(integration(**changes))
    finding = only(check(source).findings, "leaked-secret")
    after = patched(source, finding)
    assert "leaked-secret" not in rules(after.findings)
    assert "undeclared-name" not in rules(after.findings)
    assert after.manifest is not None
    assert [requirement.type for requirement in after.manifest.requirements] == ["secret"]


def test_credentials_in_a_url_are_found():
    assert "leaked-secret" in rules(report(integration(endpoint="https://a.example.com/?api_key=abcdefgh")).findings)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"Accept": "application/vnd.example.v3+json; charset=utf-8"}},
        {"headers": {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}},
        {"params": {"fields": "temperature_2m,wind_speed_10m,weather_code"}},
        {"params": {"key": "name"}},
        {"endpoint": "https://a.example.com/?token=${input.q}"},
    ],
)
def test_ordinary_values_are_left_alone(changes):
    assert "leaked-secret" not in rules(report(integration(**changes)).findings)


def test_the_example_leaks_nothing():
    assert "leaked-secret" not in rules(check(analyzer()).findings)
