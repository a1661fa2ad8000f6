"""Heads and entries are read in exactly their published form."""

import re
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_server.problems import ProblemError
from coffret_server.wire import log
from coffret_vault.formats import checkpoint
from server import forge

OWNER = forge.Owner()
OWNER.tree.add(b"leaf")
HEAD = OWNER.sign_head(OWNER.tree)


def test_a_head_is_read() -> None:
    """Size, root, signed text and signature are those that were written."""
    head = log.parse_head(HEAD)
    assert (head.vault, head.size) == (log.vault_name(OWNER.account), 1)
    assert head.root == OWNER.tree.root()
    assert head.signed == HEAD.partition("\n\n")[0].encode() + b"\n"
    OWNER.key.public_key().verify(head.signature, head.signed)
    assert head.key_id == log.key_id(head.vault, forge.public(OWNER.key))


@pytest.mark.parametrize("number", [0, 10**18, 10**19 - 1])
def test_a_number_has_up_to_nineteen_digits(number: int) -> None:
    """Sizes and times are taken in the form that devices take: what fits is judged later."""
    text = HEAD.replace("\n1\n", f"\n{number}\n", 1)
    for note in (text, re.sub(r"time \d+", f"time {number}", text)):
        assert log.parse_head(note).size == checkpoint.parse_head(note).head.size == number


SPOILT = {
    "nothing": "",
    "no last newline": HEAD[:-1],
    "another newline": HEAD + "\n",
    "carriage returns": HEAD.replace("\n", "\r\n"),
    "size with a zero before": HEAD.replace("\n1\n", "\n01\n", 1),
    "size with a plus": HEAD.replace("\n1\n", "\n+1\n", 1),
    "size in other digits": HEAD.replace("\n1\n", "\n\u0661\n", 1),
    "size of twenty digits": HEAD.replace("\n1\n", "\n" + "1" * 20 + "\n", 1),
    "a line more": HEAD.replace("\n\n", "\nextra\n\n", 1),
    "no previous": HEAD.replace("prev ", "", 1),
    "a hyphen for the dash": HEAD.replace("\u2014", "-"),
    "another name signs": HEAD.replace(str(OWNER.account), str(uuid.uuid4()), 1),
    "two signatures": HEAD + HEAD.rpartition("\n\n")[2],
    "upper case account": HEAD.replace(str(OWNER.account), str(OWNER.account).upper()),
    "an account with a hyphen less": HEAD.replace(
        str(OWNER.account), str(OWNER.account).replace("-", "0", 1)
    ),
    "stray bits": HEAD[:-3] + chr(ord(HEAD[-3]) + 1) + HEAD[-2:],
    "a longer key": HEAD.replace("=\n", "==\n"),
    "very long": HEAD + "x" * 1_000,
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_head_near_the_form_is_malformed(name: str) -> None:
    """Nothing but the published form is a head."""
    assert SPOILT[name] != HEAD
    with pytest.raises(ProblemError) as caught:
        log.parse_head(SPOILT[name])
    assert caught.value.code == "malformed"


def test_an_entry_is_read() -> None:
    """Every field is that which was written."""
    subject, app = forge.new_id(), forge.new_id()
    data = forge.entry(OWNER.account, "put", subject, 3, bytes(32), app=app, at=77)
    assert log.parse_entry(data) == log.Entry(
        OWNER.account.bytes, "put", subject.bytes, 3, bytes(32), app.bytes, 77
    )


def test_a_version_of_zero_is_malformed() -> None:
    """Versions begin with one."""
    data = forge.entry(OWNER.account, "put", forge.new_id(), 0, bytes(32))
    with pytest.raises(ProblemError):
        log.parse_entry(data)


NUMBERS = st.sampled_from([0, 1, 77, 2**63 - 1, 2**63, 2**64 - 1])
ENTRIES = st.builds(
    forge.entry,
    st.uuids(),
    st.sampled_from(["put", "puy", "delete", "accept", "settings"]),
    st.uuids(),
    NUMBERS,
    st.sampled_from([bytes(32), b"d" * 32, b"d" * 31, b""]),
    app=st.none() | st.uuids(),
    at=NUMBERS,
)


def outcome(read: Callable[[bytes], log.Entry], data: bytes) -> object:
    """The entry, or the code of the refusal."""
    try:
        return read(data)
    except ProblemError as refusal:
        return refusal.code


@settings(max_examples=400, deadline=None)
@given(ENTRIES, st.data())
def test_entries_are_read_alike_by_place_and_by_field(entry: bytes, data: st.DataObject) -> None:
    """The fast reader finds what the general one finds and refuses what it refuses."""
    assert outcome(log.parse_entry, entry) == outcome(log._read_any, entry)
    at = data.draw(st.integers(0, len(entry) - 1))
    flipped = bytearray(entry)
    flipped[at] ^= data.draw(st.integers(1, 255))
    inserted = data.draw(st.binary(min_size=1, max_size=9))
    longer = entry[:at] + inserted + entry[at:]
    for changed in (bytes(flipped), entry[:at], longer, entry + inserted):
        assert outcome(log.parse_entry, changed) == outcome(log._read_any, changed)


def test_an_owners_put_is_read_at_a_stroke() -> None:
    """The fast reader reads what it is there for, and no byte of it unlike the general one."""
    data = forge.entry(OWNER.account, "put", forge.new_id(), 2**63 - 1, bytes(32), at=2**63 - 1)
    found = log._read_own_put(data)
    assert found is not None
    assert found == log._read_any(data)
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            assert outcome(log.parse_entry, changed) == outcome(log._read_any, changed)
