"""A delivery is believed when the secret's holder signed it, lately; and the secret never leaves config."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calls import NAME, create, rotate, update
from hardpoint.config.v1 import config_pb2
from hardpoint_config.domain import SecretValue
from hardpoint_config.signatures import Proof, Scheme, Signed, Verdict
from hardpoint_kit.errors import InvalidArgument, NotFound, PermissionDenied
from serving import SetClock

SECRET = b"8f742231b10e8888abcd99yyyzzz85a5"
NOW = SetClock().now()
# The example of Slack's own documentation of its signatures.
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SLACK_SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
# The example of GitHub's own documentation, and the one of standardwebhooks.com.
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
STANDARD_SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def at(seconds: int):
    return NOW.fromtimestamp(seconds, NOW.tzinfo)


def judged(scheme: Scheme, headers: dict[str, str], body: bytes, secret: bytes = SECRET, now=NOW, **more: str) -> str:
    return proved(scheme, headers, body, secret, now, **more).verdict


def proved(scheme: Scheme, headers: dict[str, str], body: bytes, secret: bytes = SECRET, now=NOW, **more: str) -> Proof:
    return Signed(scheme, headers, body, **more).proof(SecretValue(secret), now)


def slack(body: bytes, when: int, secret: bytes = SECRET) -> dict[str, str]:
    signature = hmac.new(secret, b"v0:%d:" % when + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": str(when), "x-slack-signature": f"v0={signature}"}


def test_what_the_senders_own_documents_show_is_valid():
    headers = {"x-slack-request-timestamp": "1531420618", "x-slack-signature": SLACK_SIGNATURE}
    assert judged(Scheme.SLACK, headers, SLACK_BODY, now=at(1531420618)) == Verdict.VALID
    github = {"x-hub-signature-256": GITHUB_SIGNATURE}
    assert judged(Scheme.GITHUB, github, b"Hello, World!", b"It's a Secret to Everybody") == Verdict.VALID
    standard = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": STANDARD_SIGNATURE,
    }
    assert judged(Scheme.STANDARD_WEBHOOKS, standard, STANDARD_BODY, STANDARD_SECRET, at(1614265330)) == Verdict.VALID
    two = {**standard, "webhook-signature": f"v1,AAAA {STANDARD_SIGNATURE}"}
    assert judged(Scheme.STANDARD_WEBHOOKS, two, STANDARD_BODY, STANDARD_SECRET, at(1614265330)) == Verdict.VALID
    late = at(1614265330 + 301)
    assert judged(Scheme.STANDARD_WEBHOOKS, standard, STANDARD_BODY, STANDARD_SECRET, late) == Verdict.TOO_OLD


@pytest.mark.parametrize("spelling", ["hex", "HEX", "prefixed", "base64"])
def test_a_plain_hmac_is_known_in_the_spellings_that_senders_use(spelling):
    mac = hmac.new(SECRET, b"body", hashlib.sha256).digest()
    text = {
        "hex": mac.hex(),
        "HEX": mac.hex().upper(),
        "prefixed": f"sha256={mac.hex()}",
        "base64": base64.b64encode(mac).decode(),
    }[spelling]
    assert judged(Scheme.HMAC, {"x-signature": text}, b"body", header="x-signature") == Verdict.VALID
    assert judged(Scheme.HMAC, {"x-signature": text}, b"bodY", header="x-signature") == Verdict.WRONG
    assert judged(Scheme.HMAC, {"x-other": text}, b"body", header="x-signature") == Verdict.MISSING
    with pytest.raises(InvalidArgument):
        judged(Scheme.HMAC, {"x-signature": text}, b"body")


def timed(when: int | str, body: bytes = b"body", secret: bytes = SECRET) -> dict[str, str]:
    """Signed as a sender does that says when in a header of its own."""
    mac = hmac.new(secret, f"{when}.".encode() + body, hashlib.sha256)
    return {"x-signature": mac.hexdigest(), "x-timestamp": str(when)}


def listed(when: int | str, body: bytes = b"body", secret: bytes = SECRET) -> dict[str, str]:
    """Signed as Stripe does, with both in one header."""
    return {"x-signature": f"t={when},v0=aa,v1=bb,v1={timed(when, body, secret)['x-signature']}"}


APART = {"header": "x-signature", "timestamp_header": "x-timestamp"}
TOGETHER = {"header": "x-signature", "timestamp_header": "x-signature"}
BOTH = pytest.mark.parametrize(("sent", "named"), [(timed, APART), (listed, TOGETHER)])
SECONDS = int(NOW.timestamp())


@BOTH
@pytest.mark.parametrize(
    ("age", "verdict"),
    [(0, "VALID"), (300, "VALID"), (-300, "VALID"), (301, "TOO_OLD"), (600, "TOO_OLD"), (-301, "TOO_OLD")],
)
def test_a_plain_hmac_that_says_when_is_good_for_five_minutes(sent, named, age, verdict):
    assert judged(Scheme.HMAC, sent(SECONDS - age), b"body", now=at(SECONDS), **named) == verdict


@BOTH
def test_the_time_of_a_plain_hmac_is_among_what_is_signed(sent, named):
    fresh = sent(SECONDS)
    for changed in (
        {name: text.replace(str(SECONDS), str(SECONDS + 1)) for name, text in fresh.items()},
        {**fresh, "x-signature": fresh["x-signature"].replace(timed(SECONDS)["x-signature"], "00")},
        sent(SECONDS, secret=b"guessed"),
        sent(SECONDS, body=b"bodY"),
    ):
        assert judged(Scheme.HMAC, changed, b"body", **named) == Verdict.WRONG
    of_the_body = hmac.new(SECRET, b"body", hashlib.sha256).hexdigest()
    unsigned = {name: text.replace(timed(SECONDS)["x-signature"], of_the_body) for name, text in fresh.items()}
    assert judged(Scheme.HMAC, unsigned, b"body", **named) == Verdict.WRONG


@BOTH
@pytest.mark.parametrize("when", ["", "soon", "-5", "1e9", "٣", "9" * 13, "2030-01-01T00:00:00Z"])
def test_a_plain_hmac_whose_time_is_none_is_missing(sent, named, when):
    assert judged(Scheme.HMAC, sent(when), b"body", **named) == Verdict.MISSING


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"x-signature": timed(SECONDS)["x-signature"]}, APART),
        ({"x-timestamp": str(SECONDS)}, APART),
        ({}, TOGETHER),
        ({"x-signature": f"t={SECONDS}"}, TOGETHER),
        ({"x-signature": listed(SECONDS)["x-signature"].removeprefix(f"t={SECONDS},")}, TOGETHER),
        ({"x-signature": f"t={SECONDS - 900},{listed(SECONDS)['x-signature']}"}, TOGETHER),
        ({"x-signature": timed(SECONDS)["x-signature"]}, TOGETHER),
    ],
)
def test_a_plain_hmac_without_its_header_is_missing(headers, named):
    assert judged(Scheme.HMAC, headers, b"body", **named) == Verdict.MISSING


def test_what_is_signed_has_a_digest_however_the_signature_is_spelled():
    mac = hmac.new(SECRET, b"body", hashlib.sha256)
    spelled = [mac.hexdigest(), f"sha256={base64.b64encode(mac.digest()).decode()}"]
    proofs = {proved(Scheme.HMAC, {"x-signature": one}, b"body", header="x-signature") for one in spelled}
    assert proofs == {Proof(Verdict.VALID, f"sha256:{hashlib.sha256(b'body').hexdigest()}", timed=False)}
    dated = f"sha256:{hashlib.sha256(b'%d.body' % SECONDS).hexdigest()}"
    for sent, named in ((timed, APART), (listed, TOGETHER)):
        assert proved(Scheme.HMAC, sent(SECONDS), b"body", **named) == Proof(Verdict.VALID, dated, timed=True)
    assert proved(Scheme.SLACK, slack(b"x", SECONDS), b"x").timed
    assert proved(Scheme.SLACK, slack(b"x", SECONDS), b"y") == Proof(Verdict.WRONG)


@pytest.mark.parametrize(("age", "verdict"), [(0, "VALID"), (300, "VALID"), (-300, "VALID"), (301, "TOO_OLD")])
def test_a_signature_is_good_for_five_minutes(age, verdict):
    when = int(NOW.timestamp()) - age
    assert judged(Scheme.SLACK, slack(b"x", when), b"x", now=at(int(NOW.timestamp()))) == verdict


@pytest.mark.parametrize("when", ["", "-5", "1e9", "٣", "9" * 13, " 5", "5\n"])
def test_a_time_that_is_none_is_missing(when):
    headers = {"x-slack-request-timestamp": when, "x-slack-signature": "v0=00"}
    assert judged(Scheme.SLACK, headers, b"x") == Verdict.MISSING


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=64), st.data())
def test_one_changed_byte_makes_it_wrong(body, secret, data):
    when = int(NOW.timestamp())
    headers = slack(body, when, secret)
    assert judged(Scheme.SLACK, headers, body, secret) == Verdict.VALID
    assert judged(Scheme.SLACK, headers, body + b" ", secret) == Verdict.WRONG
    assert judged(Scheme.SLACK, headers, body, secret + b"x") == Verdict.WRONG
    assert judged(Scheme.SLACK, {**headers, "x-slack-request-timestamp": str(when + 1)}, body, secret) == Verdict.WRONG
    other = data.draw(st.text(max_size=80))
    if other not in ("", headers["x-slack-signature"]):
        assert judged(Scheme.SLACK, {**headers, "x-slack-signature": other}, body, secret) == Verdict.WRONG


async def verify(runtime, body: bytes, headers: dict[str, str], key: str = "SIGNING_SECRET", name: str = NAME) -> str:
    request = config_pb2.VerifySignatureRequest(
        settings=name, key=key, scheme=config_pb2.SIGNATURE_SCHEME_SLACK, headers=headers, body=body
    )
    verdict = (await runtime.VerifySignature(request)).verdict
    return config_pb2.SignatureVerdict.Name(verdict).removeprefix("SIGNATURE_VERDICT_")


async def test_config_says_yes_or_no_and_nothing_else(config, runtime, clock):
    when = int(clock.now().timestamp())
    assert await verify(runtime, b"x", slack(b"x", when)) == "NO_SECRET"
    await create(config, value=SECRET)
    await update(config, None, {"SIGNING_SECRET": "orgs/acme/secrets/token"})
    assert await verify(runtime, b"x", slack(b"x", when)) == "VALID"
    assert await verify(runtime, b"y", slack(b"x", when)) == "WRONG"
    assert await verify(runtime, b"x", slack(b"x", when), key="OTHER") == "NO_SECRET"
    assert await verify(runtime, b"x", slack(b"x", when - 600)) == "TOO_OLD"
    clock.move(minutes=6)
    assert await verify(runtime, b"x", slack(b"x", when)) == "TOO_OLD"
    await rotate(config, b"another")
    assert await verify(runtime, b"x", slack(b"x", int(clock.now().timestamp()))) == "WRONG"


async def test_config_is_told_which_header_has_the_time(config, runtime, clock):
    await create(config, value=SECRET)
    await update(config, None, {"SIGNING_SECRET": "orgs/acme/secrets/token"})
    when = int(clock.now().timestamp())
    request = config_pb2.VerifySignatureRequest(
        settings=NAME, key="SIGNING_SECRET", scheme=config_pb2.SIGNATURE_SCHEME_HMAC, headers=timed(when), body=b"body"
    )
    request.header, request.timestamp_header = "x-signature", "x-timestamp"
    said = await runtime.VerifySignature(request)
    assert said.verdict == config_pb2.SIGNATURE_VERDICT_VALID
    assert (said.digest, said.timed) == (f"sha256:{hashlib.sha256(b'%d.body' % when).hexdigest()}", True)
    request.headers["x-timestamp"] = str(when - 600)
    assert (await runtime.VerifySignature(request)).verdict == config_pb2.SIGNATURE_VERDICT_WRONG


async def test_only_a_unit_of_ours_may_ask_and_only_for_its_org(config, runtime):
    with pytest.raises(PermissionDenied):
        await verify(config, b"x", {})
    with pytest.raises(NotFound):
        await verify(runtime, b"x", {}, name="orgs/other/settings/weather")
