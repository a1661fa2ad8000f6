"""Each entry of a log removed, altered or exchanged: refused, and the entry can be named."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from cli_harness import Cli
from coffret_vault.envelope.signature import signed_head
from coffret_vault.errors import CoffretError
from coffret_vault.formats.checkpoint import Head, parse_head
from coffret_vault.log import auditing
from coffret_vault.log.audit import lines_of, read_audit, write_audit
from coffret_vault.log.tree import Frontier, leaf_hash, root_of
from harness.flipping import flipped
from harness.network import Evil, updating

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret import Vault
    from harness.world import Owner, World

Page = list[Any]


def lived(world: World) -> Owner:
    """An owner whose log has an entry of every kind that an audit is about."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("first", tags=["t"])
    owner.vault.update(memory.id, content="second")
    grant_id, access = world.granted(owner, app, tags=["t"])
    access.update(memory.id, content="by the app")
    owner.vault.sync()
    owner.vault.accept(memory.id)
    owner.vault.pause(grant_id)
    owner.vault.resume(grant_id)
    owner.vault.revoke(grant_id)
    owner.vault.forget(memory.id)
    return owner


def _without(items: Page, at: int) -> Page:
    return [*items[:at], *items[at + 1 :]]


def _altered(items: Page, at: int) -> Page:
    leaf = items[at][0]
    middle = len(leaf) // 2
    changed = flipped(leaf, middle)
    return [*items[:at], [changed, items[at][1]], *items[at + 1 :]]


def _later(items: Page, at: int) -> Page:
    """The same entry with another time, or another signature: all of it parses."""
    leaf = items[at][0]
    changed = flipped(leaf)
    return [*items[:at], [changed, items[at][1]], *items[at + 1 :]]


def _twice(items: Page, at: int) -> Page:
    return [*items[: at + 1], items[at], *items[at + 1 :]]


def _exchanged(items: Page, at: int) -> Page:
    other = (at + 1) % len(items)
    found = list(items)
    found[at], found[other] = found[other], found[at]
    return found


def own_leaves(vault: Vault) -> list[bytes]:
    """The log as a device verified it."""
    return [leaf for _, leaf in vault._state.store.leaves()]


def audit_file(owner: Owner, leaves: list[bytes] | None = None) -> bytes:
    """What the owner hands to an auditor; or the same with other entries, as a server may."""
    data = b"".join(owner.vault.audit_log().lines)
    if leaves is None:
        return data
    told, _ = read_audit(lines_of(BytesIO(data)))
    return b"".join(write_audit(told, leaves))


class Auditor:
    """Somebody with the command and a file that was kept: no vault, no keys, no server."""

    def __init__(self, folder: Path, kept: bytes) -> None:
        """Keep a file."""
        self._run, self._kept, self._shown = Cli(folder), folder / "kept", folder / "shown"
        self._kept.write_bytes(kept)

    def finds(self, shown: bytes, *, code: int = 5) -> dict[str, Any]:
        """What ``coffret verify-audit`` says of a file."""
        self._shown.write_bytes(shown)
        against = ("--against", str(self._kept))
        ran = self._run("verify-audit", str(self._shown), *against, "--json", code=code)
        found: dict[str, Any] = ran.data()
        return found

    def names(self, shown: bytes) -> list[tuple[str, int | None]]:
        """The entries that it names, by their numbers in the log that was kept."""
        found = self.finds(shown)
        assert not found["whole"]
        assert found["against"]["relation"] == "altered"
        return [(item["what"], item["entry"]) for item in found["against"]["differences"]]


def _served(attack: Callable[[Page, int], Page], at: int, page: Page) -> Page:
    return [page[0], page[1], attack(page[2], at)]


@pytest.mark.attack(60)
@pytest.mark.parametrize("attack", [_without, _altered, _later, _twice, _exchanged])
def test_no_entry_can_be_removed_or_altered(
    world: World, attack: Callable[[Page, int], Page]
) -> None:
    """Whichever entry it is, a device that reads the log anew refuses it and keeps nothing."""
    owner, evil = lived(world), Evil()
    own = own_leaves(owner.vault)
    assert len(own) > 10
    evil.rewrite["/log"] = updating({"leaves": []})
    for at in range(len(own)):
        evil.rewrite["/sync"] = partial(_served, attack, at)
        with pytest.raises(CoffretError):
            world.device(owner, transport=evil)
    evil.rewrite.clear()
    assert own_leaves(world.device(owner)) == own


@pytest.mark.attack(60)
def test_each_entry_that_is_removed_or_altered_is_named(world: World, tmp_path: Path) -> None:
    """Whichever entry it is, the auditor's command names it by its number, and no other one."""
    owner = lived(world)
    own = own_leaves(owner.vault)
    pages: Page = [[leaf, None] for leaf in own]
    auditor = Auditor(tmp_path / "auditor", audit_file(owner))
    assert auditor.finds(audit_file(owner), code=0)["whole"]
    assert not auditor.finds(audit_file(owner, [*own, own[-1]]))["whole"]

    def named(attack: Callable[[Page, int], Page], at: int) -> list[tuple[str, int | None]]:
        return auditor.names(audit_file(owner, [leaf for leaf, _ in attack(pages, at)]))

    for at in range(len(own)):
        assert named(_without, at) == [("missing", at)]
        assert named(_altered, at) == [("altered", at)]
        assert named(_later, at) == [("altered", at)]
        if at + 1 < len(own):  # behind the last one it is no part of what was kept
            assert named(_twice, at) == [("added", None)]
        moved = named(_exchanged, at)
        assert {what for what, _ in moved} == {"moved"}
        assert {number for _, number in moved} & {at, (at + 1) % len(own)}


@pytest.mark.attack(60)
def test_a_rollback_and_a_fork_are_told_apart(world: World, tmp_path: Path) -> None:
    """What was signed before is turned back; what a device shown another log signed is a fork."""
    owner, evil = world.owner(), Evil()
    owner.vault.remember("first")
    early, other = audit_file(owner), world.device(owner, transport=evil)
    owner.vault.remember("second")
    auditor = Auditor(tmp_path / "auditor", audit_file(owner))
    last = owner.vault.status().entries - 1
    found = auditor.finds(early)
    assert (found["whole"], found["against"]["relation"]) == (True, "rolled-back")
    assert [item["entry"] for item in found["against"]["differences"]] == [last]
    told, leaves = read_audit(lines_of(BytesIO(early)))
    branch = [*leaves, own_leaves(owner.vault)[-1][:-1] + b"\0"]
    head = Head(
        account_id=told.head.head.account_id,
        size=len(branch),
        root=root_of(map(leaf_hash, branch)),
        prev=told.head.digest,
        time=told.head.head.time + 1,
    )
    signed = signed_head(other._state.keys.identity.signing, head)
    forked = b"".join(write_audit(msgspec.structs.replace(told, head=signed), branch))
    found = auditor.finds(forked)
    assert (found["whole"], found["against"]["relation"]) == (True, "forked")
    assert [item["entry"] for item in found["against"]["differences"]] == [last]


@pytest.mark.control(60)
def test_an_auditor_that_compares_no_roots_is_told_that_all_is_well(
    world: World, tmp_path: Path
) -> None:
    """Control: without the comparison, an entry at another time stands in a log that is whole."""
    owner = world.owner()
    owner.vault.remember("first")
    own = own_leaves(owner.vault)
    shown = audit_file(owner, [*own[:-1], flipped(own[-1])])
    auditor = Auditor(tmp_path / "auditor", audit_file(owner, own))
    assert auditor.names(shown) == [("altered", len(own) - 1)]
    believed = parse_head(owner.vault.status().head).head.root
    with patch.object(auditing, "root_of", lambda _: believed):
        assert auditor.finds(shown)["whole"]


@pytest.mark.control(60)
def test_a_client_that_compares_no_roots_takes_an_altered_entry(world: World) -> None:
    """Control: without the comparison an entry at another time is believed."""
    owner, evil = world.owner(), Evil()
    owner.vault.remember("first")
    at = len(own_leaves(owner.vault)) - 1
    signed: list[bytes] = []

    def alter(page: Page) -> Page:
        signed.append(parse_head(page[1]).head.root)
        return [page[0], page[1], _later(page[2], at) if page[2] else []]

    evil.rewrite["/sync"] = alter
    with patch.object(Frontier, "root", lambda _: signed[-1]):
        device = world.device(owner, transport=evil)
    kept, real = own_leaves(device), own_leaves(owner.vault)
    assert [place for place in range(len(real)) if kept[place] != real[place]] == [at]
