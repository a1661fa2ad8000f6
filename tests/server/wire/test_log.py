"""Heads and entries are read in exactly their published form."""

import re
import uuid

import pytest

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
