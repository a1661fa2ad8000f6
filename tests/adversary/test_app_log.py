"""What an app reads is in the owner's log, and the log does not go back on it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import access as access_flows
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import (
    BadSignatureError,
    FormatError,
    NotFoundError,
    StoreDamagedError,
    TrustError,
)
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.checkpoint import Head, parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.layout import parse_id
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.tree import leaf_hash
from harness.league import Pen, believing_the_entry
from harness.network import Evil, Recorder
from harness.reading import FORGED, REAL, Page, Reader
from vectors.verifier.tree import many_proof

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access
    from harness.world import World


@pytest.fixture
def reader(world: World) -> Reader:
    """An app before a hostile server."""
    return Reader(world)


def _replace(make: Callable[[list[Any]], list[Any]]) -> Callable[[Page], None]:
    def change(page: Page) -> None:
        page[1][0] = make(page[1][0])

    return change


@pytest.mark.attack(20, 40)
def test_a_forged_version_is_refused_whatever_entry_comes_with_it(reader: Reader) -> None:
    """An app in league that shares the key cannot have another app read what it made up."""
    reader.refuses(_replace(reader.forged), "proof")
    reader.refuses(_replace(lambda item: [*reader.forged(item)[:6], item[6]]), "names")
    reader.refuses(lambda page: page[1].append(reader.forged(page[1][0])), "two different")


@pytest.mark.control(20, 40)
def test_a_forged_version_is_read_by_an_app_that_does_not_look(reader: Reader) -> None:
    """The same version opens: only the owner's log tells it from a true one."""
    reader.evil.rewrite[reader.path] = _replace(reader.forged)
    with (
        patch.object(access_flows, "check_leaves"),
        patch.object(access_flows, "check_named"),
    ):
        assert reader.read() == [FORGED]


PLANTED = ("waiting", "in the owner's name", "rejected")


def _planted(reader: Reader, how: str) -> Callable[[Page], None]:
    """What another app wrote, with a true entry about it in the log, shown as accepted."""
    network, vault = Recorder(), reader.owner.vault
    _, access = reader.world.granted(reader.owner, reader.world.app("Bad", transport=network))
    access.memories()
    key = access._shelf.one(reader.memory.id).key
    assert key is not None
    pen = Pen(access, key)
    with believing_the_entry(pen.app_id):
        author = OWNER if how == "in the owner's name" else None
        pen.put(FORGED, memory_id=reader.memory.id, version=2, author=author)
    record = msgspec.msgpack.decode(network.requests[-1].content)["records"][0]
    vault.sync()
    if how == "rejected":
        vault.reject(reader.memory.id, 2)
    vault.remember("a head over what the app proposed")
    leaves = [leaf for _, leaf in vault._state.store.leaves()]
    about = [at for at, leaf in enumerate(leaves) if _is_about(leaf, reader.memory.id)]
    index = about[-1]  # the owner's no, or else the app's own entry

    def change(page: Page) -> None:
        page[1][:] = [[*record[:2], *page[1][0][2:5], index, leaves[index]]]
        page[4] = many_proof({index}, leaves)

    return change


def _is_about(leaf: bytes, memory_id: str) -> bool:
    entry = parse_leaf(leaf).entry
    return (entry.subject, entry.version) == (parse_id(memory_id), 2)


@pytest.mark.attack(39, 40)
@pytest.mark.parametrize("how", PLANTED)
def test_what_the_owner_did_not_accept_is_not_shown_as_accepted(reader: Reader, how: str) -> None:
    """An app's own entry is in the log too, and the owner's no: neither is the owner's yes."""
    reader.refuses(_planted(reader, how), "names")


@pytest.mark.control(39, 40)
@pytest.mark.parametrize("how", PLANTED)
def test_it_is_read_by_an_app_that_does_not_look_at_the_entry(reader: Reader, how: str) -> None:
    """It opens, and its entry is proven: what is missing is that the owner accepted it."""
    reader.evil.rewrite[reader.path] = _planted(reader, how)
    with patch.object(access_flows, "check_named"):
        assert reader.read() == [FORGED]


@pytest.mark.attack(40)
def test_nothing_is_shown_as_the_apps_own_that_it_did_not_sign(reader: Reader) -> None:
    """A proposal in this app's name needs this app's signature, over that very version."""
    state = reader.access._state

    def pending(item: list[Any], signature: bytes) -> list[Any]:
        made = reader.forged(item, 2, own=True)
        return [*made[:4], "pending", made[5], made[6] + signature]

    reader.refuses(lambda page: page[1].append(pending(page[1][0], bytes(64))), "signature")
    reader.refuses(_as_pending, "wait for the owner")
    mine = sign_statement(state.identity.signing, "app-entry", b"something else")
    reader.refuses(lambda page: page[1].append(pending(page[1][0], mine)), "signature")


def _as_pending(page: Page) -> None:
    """The owner's memory is said to be a proposal of the app's; there is nothing to prove then."""
    page[1][0][4] = "pending"
    page[4] = [parse_head(page[2]).head.root]


@pytest.mark.attack(18)
def test_an_older_version_is_not_shown_again(reader: Reader) -> None:
    """What this process has read does not go back, though the older entry is in the log too."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = pages.append
    reader.read()
    reader.evil.rewrite.clear()
    reader.owner.vault.update(reader.memory.id, content="newer")
    assert reader.read() == ["newer"]
    before = _proven_again(reader, pages[0])
    reader.refuses(before, "older version")


def _proven_again(reader: Reader, old: Page) -> Callable[[Page], None]:
    """An older item of a page, with a true proof under today's head."""
    leaves = [leaf for _, leaf in reader.owner.vault._state.store.leaves()]
    item = old[1][0]
    assert leaf_hash(item[6]) == leaf_hash(leaves[item[5]])

    def change(page: Page) -> None:
        page[1][:] = [item]
        page[4] = many_proof({item[5]}, leaves)

    return change


@pytest.mark.control(18)
def test_an_older_version_is_believed_by_an_app_that_never_saw_the_newer(reader: Reader) -> None:
    """Its entry is in the log, and nothing says that it is not the newest: not promised."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = pages.append
    reader.read()
    reader.evil.rewrite.clear()
    reader.owner.vault.update(reader.memory.id, content="newer")
    reader.owner.vault.sync()
    reader.evil.rewrite[reader.path] = _proven_again(reader, pages[0])
    assert reader.read() == [REAL]


def _at(note: str, page: Page) -> None:
    page[2] = note


@pytest.mark.attack(17, 60)
def test_an_apps_log_does_not_go_back(reader: Reader) -> None:
    """An older head than the app saw is refused, by another process of it too, with evidence."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = lambda page: pages.append([*page])
    reader.read()
    reader.owner.vault.remember("more", tags=["t"])
    reader.evil.rewrite.clear()
    reader.read()
    for access in (reader.access, _again(reader)):
        reader.access = access
        error = reader.refuses(lambda _: pages[0], "shorter")
        found = verify_evidence(Path(error.evidence).read_bytes())
        assert found.verdict.kind == "rolled-back"


@pytest.mark.attack(17, 60)
def test_an_apps_log_does_not_go_back_behind_another_process(reader: Reader) -> None:
    """What another process was shown meanwhile is asked for again, and then held to it."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = lambda page: pages.append([*page])
    reader.read()
    path, around = reader.app._state.path, reader.world.around()
    other = reader.world.closing(type(reader.app).load(path, **around))
    access = other.access(reader.app.requests()[-1])
    asked: list[Page] = []

    def older(page: Page) -> Page:
        if not asked:
            reader.owner.vault.remember("more", tags=["t"])
            access.memories()
        asked.append(page)
        return pages[0]

    error = reader.refuses(older, "shorter")
    assert verify_evidence(Path(error.evidence).read_bytes()).verdict.kind == "rolled-back"
    assert len(asked) == 2


@pytest.mark.control(17)
def test_an_app_without_a_past_takes_an_older_head(reader: Reader) -> None:
    """What tells an app is its own memory of the newest head."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = lambda page: pages.append([*page])
    reader.read()
    reader.owner.vault.remember("more", tags=["t"])
    reader.evil.rewrite.clear()
    reader.read()
    reader.forget_head()
    reader.access = _again(reader)
    reader.evil.rewrite[reader.path] = lambda _: pages[0]
    assert reader.read() == [REAL]


def test_a_restored_server_is_believed_when_the_app_is_told_to(reader: Reader) -> None:
    """What was seen of that owner's log is forgotten, and what is shown next is held to again."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = lambda page: pages.append([*page])
    reader.read()
    for _ in range(2):
        reader.owner.vault.update(reader.memory.id, content=FORGED)
        reader.read()
    first, second, _ = pages
    reader.evil.rewrite.clear()
    reader.refuses(lambda _: first, "shorter")
    reader.app.forget_log(reader.app.requests()[-1])
    reader.evil.rewrite[reader.path] = lambda _: second
    assert reader.read() == [FORGED]
    reader.refuses(lambda _: first, "shorter")


def _again(reader: Reader) -> Access:
    """The same app in another process: what it knows is what it has kept."""
    app = reader.world.closing(
        type(reader.app).load(reader.app._state.path, **reader.world.around(transport=reader.evil))
    )
    access: Access = app.access(reader.app.requests()[-1])
    return access


@pytest.mark.attack(19)
def test_an_app_that_is_shown_another_history_proves_it(reader: Reader) -> None:
    """Two heads of one size are a fork; a longer one without a proof is kept as it is."""
    vault = reader.owner.vault
    key, known = vault._state.keys.identity.signing, vault._state.position().head
    assert known is not None
    for more, kind, match in ((0, "fork", "two different"), (1, "unlinked", "consistency")):
        head = Head(known.head.account_id, known.head.size + more, bytes(32), known.digest, 1)
        note = sign_head(key, head)
        error = reader.refuses(partial(_at, note), match)
        found = verify_evidence(Path(error.evidence).read_bytes())
        assert found.verdict.kind == kind


@pytest.mark.attack(19)
def test_a_head_by_another_key_or_of_another_log_is_refused(reader: Reader) -> None:
    """The owner is the one whom the app asked; a head of another owner is none of theirs."""
    other = reader.world.owner().vault
    note = other.status().head
    reader.evil.rewrite[reader.path] = partial(_at, note)
    with pytest.raises(BadSignatureError):
        reader.access.memories()
    key, known = reader.owner.vault._state.keys.identity.signing, parse_head(note).head
    reader.evil.rewrite[reader.path] = partial(_at, sign_head(key, known))
    with pytest.raises(TrustError, match="another account"):
        reader.access.memories()


@pytest.mark.attack(60)
def test_an_item_without_its_proof_is_refused(reader: Reader) -> None:
    """A part missing or too many, an index moved, an entry left out, two entries in one place."""

    def move(page: Page) -> None:
        page[1][0][5] -= 1

    def twice(page: Page) -> None:
        page[1].append([*page[1][0][:6], b"another"])

    def fewer(page: Page) -> None:
        page[4].pop()

    def more(page: Page) -> None:
        page[4].append(bytes(32))

    def nothing(page: Page) -> None:
        page[1][0][6] = b""

    def beyond(page: Page) -> None:
        page[1][0][5] = 2**40

    for change in (fewer, more, nothing, beyond, move, twice):
        reader.refuses(change)
    reader.evil.rewrite[reader.path] = lambda page: page[:2]
    with pytest.raises(FormatError):
        reader.access.memories()


@pytest.mark.attack(33)
def test_an_item_under_another_key_s_number_or_of_another_owner_is_refused(
    reader: Reader,
) -> None:
    """What another owner rejected is not shown as rejected here; a key has the number it had."""

    def renumber(page: Page) -> None:
        page[1][0][2] += 1

    reader.refuses(renumber, "not of the grant")
    other, evil, pages = reader.world.owner(), reader.evil, list[Page]()
    grant_id, access = reader.world.granted(other, reader.app, scopes={"read", "create"})
    access.remember("for somebody else")
    other.vault.sync()
    other.vault.reject(other.vault.pending()[0].memory_id)
    evil.rewrite[f"/grants/{grant_id}/records"] = pages.append
    (memory,) = access.memories()
    assert memory.review.status == "rejected"
    reader.refuses(lambda page: page[1].append(pages[0][1][0]), "proof")


def test_an_app_that_forgets_a_log_reads_what_is_older(reader: Reader) -> None:
    """Of a server that was restored it takes memories as they were before; the process goes on."""
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = lambda page: pages.append([*page])
    reader.read()
    reader.owner.vault.update(reader.memory.id, content="later")
    reader.read()
    reader.evil.rewrite[reader.path] = lambda page: page.__setitem__(slice(None), pages[0])
    with pytest.raises(TrustError, match="shorter"):
        reader.read()
    (request_id,) = reader.app.requests()
    reader.app.forget_log(request_id)
    reader.access = reader.app.access(request_id)
    assert reader.read() == [REAL]


def test_an_apps_receipt_confirms_a_fresh_device(reader: Reader) -> None:
    """The head that an app was shown settles what a new device was shown, up to its size."""
    receipt = reader.access.receipt()
    fresh = reader.world.device(reader.owner)
    assert not fresh.status().confirmed
    assert fresh.confirm(receipt) == parse_head(receipt).head.size
    assert fresh.status().confirmed


@pytest.mark.attack(17)
def test_an_apps_receipt_shows_a_fresh_device_that_it_sees_yesterday(reader: Reader) -> None:
    """A device that was shown less than the app is told so by the receipt."""
    evil = Evil()
    fresh = reader.world.device(reader.owner, transport=evil)
    early = fresh.status()
    evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    reader.owner.vault.remember("today")
    receipt = reader.access.receipt()
    with pytest.raises(NotFoundError):
        fresh.confirm(receipt)
    fresh.sync()
    with pytest.raises(TrustError, match="another log"):
        fresh.confirm(receipt)


def test_a_damaged_memory_of_heads_is_not_taken_for_none(reader: Reader) -> None:
    """An app that cannot read what it saw does not begin anew by itself."""
    reader.read()
    kept = reader.access._state.owners.path
    for data in (b"", b"[]", b"\xff" * 9_000, kept.read_bytes()[:-9_000]):
        kept.write_bytes(data)
        with pytest.raises(StoreDamagedError):
            reader.access.memories()
