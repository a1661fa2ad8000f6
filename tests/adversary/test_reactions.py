"""What a server learns from how clients react: the same, whatever is wrong with a ciphertext."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_vault.errors import CoffretError, TrustError
from harness.network import BASE, Evil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx

    from harness.victim import Victim
    from harness.world import World

HEADER, ENVELOPE, KEK, WRAP = range(4)
SUITE, SALT, COMMITMENT, TEXT, TAG = 0, 1, 33, 65, -1
"""Where the parts of an envelope begin; the tag is at its end."""


def flipped(data: bytes, at: int) -> bytes:
    """The same with one bit of one byte changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


PLACES = {"suite": SUITE, "salt": SALT, "commitment": COMMITMENT, "text": TEXT, "tag": TAG}
BAD: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    **{f"{name} of content": (ENVELOPE, partial(flipped, at=at)) for name, at in PLACES.items()},
    **{f"{name} of key": (WRAP, partial(flipped, at=at)) for name, at in PLACES.items()},
    "cut content": (ENVELOPE, lambda data: data[:-1]),
    "no content": (ENVELOPE, lambda _: b""),
    "cut key": (WRAP, lambda data: data[:-1]),
    "no key": (WRAP, lambda _: b""),
    "zero key": (WRAP, lambda data: bytes(len(data))),
    "another generation": (KEK, lambda _: b"\0" + (9).to_bytes(8)),
    "another grant": (KEK, lambda _: b"\1" + bytes(16)),
    "no name of a key": (KEK, lambda _: b""),
}


def seen(requests: Iterable[httpx.Request]) -> list[tuple[Any, ...]]:
    """What a server sees of requests, but for the random bytes in them."""
    return [
        (
            request.method,
            request.url.path.removeprefix(BASE),
            str(request.url.params),
            sorted(request.headers),
            len(request.content),
        )
        for request in requests
    ]


def spoil(part: int, change: Callable[[bytes], bytes]) -> Callable[[list[Any]], None]:
    """Rewrites the records of a page of the feed."""

    def rewrite(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None:
                item[1][part] = change(item[1][part])

    return rewrite


def reaction(victim: Victim) -> list[tuple[Any, ...]]:
    """What goes out when the device syncs, looks at what it has, and tries once more."""
    victim.evil.requests.clear()
    for use in (victim.vault.sync, lambda: victim.vault.search("word"), victim.vault.sync):
        try:
            use()
        except CoffretError:
            continue
    return seen(victim.evil.requests)


# -- the owner's devices ------------------------------------------------------------------------


@pytest.mark.attack(14)
def test_every_bad_record_is_reacted_to_alike(victim: Victim) -> None:
    """Key, content, commitment, tag or length: the requests are the same, and report nothing.

    That a device stops says that the record is not the one that was written, which the server
    knows; it says so whatever the key and the content are.
    """
    victim.owner.vault.remember("new")
    reactions = []
    for part, change in BAD.values():
        victim.evil.rewrite["/sync"] = spoil(part, change)
        reactions.append(reaction(victim))
    assert reactions[0] == reactions[0][:1] * 2
    assert [other for other in reactions if other != reactions[0]] == []
    victim.evil.rewrite.clear()
    good = reaction(victim)
    assert good[: len(reactions[0]) // 2] == reactions[0][: len(reactions[0]) // 2]


@pytest.mark.attack(14)
def test_no_bad_proposal_is_reacted_to(world: World) -> None:
    """A sync asks for the same whether what an app wrote opens or not, and however it fails to."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app)
    reactions: list[Any] = []
    for part, change in [(WRAP, None), (WRAP, bytes), *BAD.values()]:
        if part == ENVELOPE:
            continue
        evil = Evil()
        device = world.device(owner, transport=evil)
        access.remember("proposed")
        if change is not None:
            evil.rewrite["/sync"] = spoil(part, change)
        evil.requests.clear()
        device.sync()
        # The place in the log moves on with each proposal; the rest is compared.
        reactions.append([(method, path, size) for method, path, _, _, size in seen(evil.requests)])
    assert len(reactions) > 5
    assert [other for other in reactions if other != reactions[0]] == []


@pytest.mark.control(14)
def test_a_device_that_asks_again_for_what_did_not_open_tells(victim: Victim) -> None:
    """Control: one that skips a record whose key does not open reacts to keys and contents apart.

    That is the one bit that attacks on decryption need.
    """
    victim.owner.vault.remember("new")
    reactions = []
    with (
        patch("coffret.flows.arriving._Opener.opens", return_value=True),
        patch("coffret.flows.sync._nothing_withheld"),
    ):
        for name in ("tag of content", "tag of key"):
            victim.evil.rewrite["/sync"] = spoil(*BAD[name])
            reactions.append(reaction(victim))
    assert reactions[0] != reactions[1]


# -- apps ---------------------------------------------------------------------------------------


@pytest.mark.attack(14)
def test_an_app_reacts_to_all_bad_records_alike(world: World) -> None:
    """What is not as the owner's log and grant have it is refused in the same steps, all of it."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    for number in range(3):
        owner.vault.remember(f"memory {number}")
    grant_id, access = world.granted(owner, app)
    assert len(access.memories()) == 3
    reactions: list[Any] = []
    for part, change in BAD.values():
        if part == KEK:
            continue
        item = 3 if part == WRAP else ENVELOPE
        evil.rewrite[f"/grants/{grant_id}/records"] = partial(_spoil_first, item, change)
        evil.requests.clear()
        with pytest.raises(TrustError):
            access.memories()
        reactions.append(seen(evil.requests))
    assert len(reactions) == 15
    assert [other for other in reactions if other != reactions[0]] == []


def _spoil_first(item: int, change: Callable[[bytes], bytes], page: list[Any]) -> None:
    page[1][0][item] = change(page[1][0][item])


# -- parts of records ---------------------------------------------------------------------------


def _put(one: list[bytes], mixed: list[bytes]) -> Callable[[list[Any]], None]:
    """Serves a mixed record in the place of one."""

    def rewrite(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None and item[1][HEADER] == one[HEADER]:
                item[1] = mixed

    return rewrite


@pytest.mark.attack(6)
def test_no_two_records_exchange_any_parts(victim: Victim) -> None:
    """Of three memories and another owner's: no mix of their parts is taken.

    Where only the names of the wrapping keys are exchanged, which are the same, nothing is.
    """
    owner, world, pages = victim.owner, victim.world, list[list[Any]]()
    collect = Evil()
    collect.rewrite["/sync"] = pages.append
    other = world.owner()
    other.vault.remember("another owner's")
    world.device(other, transport=collect)
    owner.vault.remember("first")
    owner.vault.remember("second", tags=["t"])
    world.device(owner, transport=collect)
    records = [item[1] for page in pages for item in page[2] if item[1] is not None]
    honest = {memory.content for memory in owner.vault.list()}
    assert len(records) == 4
    for one, two in product(records[-2:], records):
        if one is two:
            continue
        for mask in range(1, 15):
            mixed = [two[part] if mask >> part & 1 else one[part] for part in range(4)]
            victim.evil.rewrite["/sync"] = _put(one, mixed)
            try:
                device = world.device(owner, transport=victim.evil)
            except TrustError:
                continue
            assert mask == 1 << KEK
            assert {memory.content for memory in device.list()} == honest
            device.close()
