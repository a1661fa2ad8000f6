"""Limits, tokens, challenges, settings, strict JSON: the parts without a server."""

import base64
import json

import pytest

from coffret_server import challenges, cli, strict, tokens
from coffret_server.limits import Limiter
from coffret_server.problems import CODES, ProblemError
from coffret_server.settings import Settings
from server import forge
from server.stand import START, Clock

KEY = bytes(range(32))


def test_a_limiter_lets_its_rate_through() -> None:
    """A burst of the whole rate, then one each step."""
    clock = Clock()
    limiter = Limiter("x", 60, clock.monotonic)
    for left in range(59, -1, -1):
        assert limiter.take("a").left == left
    with pytest.raises(ProblemError) as caught:
        limiter.take("a")
    assert caught.value.retry_after == 1
    assert limiter.take("b").left == 59
    clock.advance(1)
    assert limiter.take("a").left == 0
    clock.advance(3_600)
    assert limiter.take("a").left == 59


def test_a_limiter_forgets_callers_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers come, what is remembered has a bound."""
    monkeypatch.setattr("coffret_server.limits._CALLERS", 10)
    limiter = Limiter("x", 60, Clock().monotonic)
    for caller in range(1_000):
        limiter.take(caller)
    assert len(limiter._whole) <= 10


def test_tokens_are_read_back() -> None:
    """The id comes back, and the hash is of the token as a whole."""
    token = tokens.write(KEY, tokens.SESSION, bytes(16), tokens.new_secret(), 7)
    found = tokens.read(KEY, tokens.SESSION, token)
    assert found == tokens.Opaque(bytes(16), tokens.digest(token), 7, is_marked=True)
    with pytest.raises(ProblemError):
        tokens.read(KEY, tokens.API_KEY, token)


def test_a_mark_covers_every_byte_and_the_kind() -> None:
    """A token of another key or kind, or with one byte changed, bears no mark of ours."""
    secret = tokens.new_secret()
    token = tokens.write(KEY, tokens.SESSION, bytes(16), secret, 7)
    assert tokens.is_marked(KEY, tokens.SESSION, token)
    data = base64.urlsafe_b64decode(token[4:])
    others = [
        token[:4]
        + base64.urlsafe_b64encode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).decode()
        for at in range(len(data))
    ]
    others.append(tokens.write(bytes([1]) + KEY[1:], tokens.SESSION, bytes(16), secret, 7))
    others.append("cfs" + tokens.write(KEY, tokens.API_KEY, bytes(16), secret, 7)[3:])
    assert not any(tokens.is_marked(KEY, tokens.SESSION, other) for other in others)


def test_a_token_has_one_spelling() -> None:
    """One token is one caller: another alphabet of base64 gives it no second count of its own."""
    token = tokens.write(KEY, tokens.SESSION, b"\xff" * 16, tokens.new_secret())
    other = token[:4] + token[4:].replace("_", "/").replace("-", "+")
    assert other != token
    assert tokens.is_marked(KEY, tokens.SESSION, token)
    assert not tokens.is_marked(KEY, tokens.SESSION, other)


def test_a_key_of_before_there_were_marks_is_read() -> None:
    """It is looked up as a guess is: it shows nothing by itself."""
    token = f"cfa_{base64.urlsafe_b64encode(bytes(48)).decode()}"
    found = tokens.read(KEY, tokens.API_KEY, token)
    assert found == tokens.Opaque(bytes(16), tokens.digest(token), 0, is_marked=False)
    assert not tokens.is_marked(KEY, tokens.API_KEY, token)


def test_a_derived_secret_depends_on_every_part() -> None:
    """Moving a byte from one part to the next gives another secret."""
    key = bytes(32)
    seen = {
        tokens.derived_secret(key, b"ab", b"c"),
        tokens.derived_secret(key, b"a", b"bc"),
        tokens.derived_secret(bytes([1]) + bytes(31), b"ab", b"c"),
    }
    assert len(seen) == 3


def test_a_nonce_is_bound_to_its_slot_and_time() -> None:
    """A nonce of another slot, key or time, or one changed, is not ours."""
    key = bytes(32)
    owner = forge.Owner()
    challenge = challenges.Challenge(owner.account, owner.slots[0].slot, None)
    nonce, expires = challenges.new_nonce(key, challenge, START)
    account, slot = challenge.account.bytes, challenge.slot.bytes
    assert challenges.nonce_expiry(key, account, slot, nonce, START) == expires
    assert challenges.nonce_expiry(key, slot, account, nonce, START) is None
    assert challenges.nonce_expiry(b"\1" * 32, account, slot, nonce, START) is None
    assert challenges.nonce_expiry(key, account, slot, nonce, expires) is None
    for at in range(32):
        spoilt = bytearray(nonce)
        spoilt[at] ^= 1
        assert challenges.nonce_expiry(key, account, slot, bytes(spoilt), START) is None


def test_settings_come_from_the_environment() -> None:
    """What is given wins over the environment, which wins over the default."""
    environment = {
        "COFFRET_AUTH_RATE": "7",
        "COFFRET_ORIGINS": "https://a.example https://b.example",
        "COFFRET_TRUST_FORWARDED": "true",
        "COFFRET_DATABASE": "sqlite:///env.db",
    }
    found = Settings.from_environment({"auth_rate": None}, environment, "sqlite:///default.db")
    assert (found.auth_rate, found.trust_forwarded) == (7, True)
    assert found.origins == ("https://a.example", "https://b.example")
    assert found.database == "sqlite:///env.db"
    given = Settings.from_environment({"database": "sqlite:///given.db"}, environment)
    assert given.database == "sqlite:///given.db"


@pytest.mark.parametrize(
    ("name", "text"),
    [("COFFRET_AUTH_RATE", "many"), ("COFFRET_REQUEST_RATE", "0"), ("COFFRET_TOKEN_SECONDS", "-1")],
)
def test_a_limit_that_is_none_is_refused_by_its_name(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever starts a server with it is told which it is, and no server starts."""
    with pytest.raises(ValueError, match=name):
        Settings.from_environment({}, {name: text}, "sqlite:///default.db")
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate"])
    assert ended.value.code == cli.EXIT_SETTINGS
    assert name in capsys.readouterr().err


def test_the_jwt_key_is_not_shown() -> None:
    """Settings can be logged without their secret."""
    key = "c0ffee" * 11
    assert key not in repr(Settings("sqlite:///x.db", jwt_key=key))


def test_brackets_in_strings_are_not_depth() -> None:
    """Only real nesting counts."""
    assert strict.loads(b'{"a": "[[[[[[[[[[[[[[[[[[[[[[\\"[[["}') == {"a": "[" * 22 + '"[[['}


@pytest.mark.parametrize(
    ("most", "more", "why"),
    [
        (b"[" * 16 + b"]" * 16, b"[" * 17 + b"]" * 17, "nested too deeply"),
        (b'{"a":' * 16 + b"1" + b"}" * 16, b'{"a":' * 17 + b"1" + b"}" * 17, "nested too deeply"),
        (b"[1,1,1]", b"[1,1,1,1]", "too many parts"),
        (b"[[]]", b"[[],1]", "too many parts"),
        (b'{"a":{}}', b'{"a":{},"b":1}', "too many parts"),
    ],
)
def test_json_that_is_too_deep_or_has_too_many_parts_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, most: bytes, more: bytes, why: str
) -> None:
    """What is just small enough is decoded; one more level or part, and no decoder sees it."""
    parts = 4 if why == "too many parts" else strict.PARTS
    assert strict.loads(most, parts) == json.loads(most)
    monkeypatch.setattr("coffret_server.strict.json", None)
    with pytest.raises(ProblemError, match=why):
        strict.loads(more, parts)


def test_the_codes_are_those_of_the_specification() -> None:
    """Every code that the specification lists has its status here."""
    listed = {
        400: "malformed",
        401: "wrong-credentials unauthenticated",
        403: "forbidden not-granted grant-paused grant-revoked grant-expired grant-activating",
        404: "not-found",
        408: "too-slow",
        409: "conflict username-taken log-moved not-approved request-final",
        412: "version-moved",
        413: "too-large",
        422: "invalid-input unknown-suite idempotency-mismatch bad-signature weak-key",
        428: "precondition-required",
        429: "rate-limited quota-exceeded",
        500: "server-error",
        503: "unavailable",
    }
    for status, codes in listed.items():
        for code in codes.split():
            assert CODES[code][0] == status
