"""Secrets do not leave by accident."""

import copy
import io
import json
import logging
import pickle
import traceback

import msgspec
import pytest

from coffret_vault.keyslots.slots import SlotKeys
from coffret_vault.primitives.identity import SealingKey, SigningKey
from coffret_vault.primitives.secret import SecretBytes

VALUE = b"correct horse battery staple 123"
SECRET = SecretBytes(VALUE)


def _leaks(text: str) -> bool:
    return any(part in text for part in (VALUE.decode(), VALUE.hex(), repr(VALUE)[2:-1]))


def test_no_way_of_printing_shows_it() -> None:
    """Neither repr, str, format nor the repr of what holds it shows a byte of it."""
    keys = SlotKeys("passphrase", None, SigningKey(SECRET), SECRET)
    for text in (repr(SECRET), str(SECRET), f"{SECRET!s:>40}", repr([SECRET]), repr(keys)):
        assert not _leaks(text)
    assert not _leaks(repr(SealingKey(SECRET)))


def _fail_beside(secret: SecretBytes) -> float:
    return 1 / (len(secret) - len(VALUE))


def test_no_log_line_or_traceback_shows_it() -> None:
    """Logged, and among the locals of a traceback, it stays unseen."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("coffret.test.secret")
    logger.addHandler(handler)
    logger.error("opening with %s and %r", SECRET, {"key": SECRET})
    logger.removeHandler(handler)
    with pytest.raises(ZeroDivisionError) as caught:
        _fail_beside(SECRET)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    stream.write("".join(shown.format()))
    assert stream.getvalue().count("<SecretBytes>") >= 3
    assert not _leaks(stream.getvalue())


@pytest.mark.parametrize(
    "serialize", [pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode, bytes]
)
def test_nothing_serialises_it(serialize: object) -> None:
    """It goes through no serialiser, alone or inside something."""
    assert callable(serialize)
    for value in (SECRET, [SECRET]):
        with pytest.raises(TypeError):
            serialize(value)


def test_it_compares_by_value_and_only_with_its_kind() -> None:
    """Equal secrets are equal; the bytes themselves are not equal to it; it has no hash."""
    assert SecretBytes(VALUE) == SECRET
    assert SecretBytes(VALUE[:-1]) != SECRET
    assert SECRET != VALUE
    with pytest.raises(TypeError):
        hash(SECRET)


def test_copies_are_itself() -> None:
    """Copying makes no second object, and it has no attributes to hang things on."""
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy([SECRET])[0] is SECRET
    assert not hasattr(SECRET, "__dict__")


def test_it_can_be_revealed_and_measured() -> None:
    """The one way in gives the bytes, and the length is no secret."""
    assert SECRET.reveal() == VALUE
    assert len(SECRET) == len(VALUE)
