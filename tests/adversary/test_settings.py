"""A server that would have the titles: it drops, alters, invents or rolls back what was settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret.flows.signup import settings_entry
from coffret.flows.state import WHOLE, covered_note
from coffret_vault.errors import CoffretError, NetworkError, TrustError
from coffret_vault.formats.author import Author
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.entry import ENTRY, SETTINGS, parse_leaf
from coffret_vault.formats.settings import Settings
from coffret_vault.log.settled import Settled
from coffret_vault.log.tree import Frontier
from harness.network import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Vault
    from harness.stage import Stage
    from harness.victim import Victim
    from harness.world import World

    Page = list[Any]
    Items = list[Any]
    Spoil = Callable[[Items], None]

TITLE = "Telltale title"


def write(vault: Vault) -> None:
    """Write what must not be shown, as a person would."""
    vault.remember("x", title=TITLE, tags=["telltale-tag"])


def is_told(wire: Recorder) -> bool:
    """Whether title or tag went out."""
    return any(word in wire.sent() for word in (TITLE.encode(), b"telltale-tag"))


def _at(items: Items) -> int:
    return next(at for at, item in enumerate(items) if parse_leaf(item[0]).entry.kind == SETTINGS)


def _dropped(items: Items) -> None:
    del items[_at(items)]


def _changing(**changes: Any) -> Spoil:
    def spoil(items: Items) -> None:
        entry = parse_leaf(items[_at(items)][0]).entry
        items[_at(items)][0] = ENTRY.serialize(msgspec.structs.replace(entry, **changes))

    return spoil


def _undone(items: Items) -> None:
    entry = parse_leaf(items[_at(items)][0]).entry
    off = settings_entry(entry.account_id, Settled(2, Settings()), entry.time)
    items.append([ENTRY.serialize(off), None])


def _repeated(items: Items) -> None:
    items.insert(_at(items), items[_at(items)])


def _moved(items: Items) -> None:
    items.append(items.pop(_at(items)))


def _first_twice(items: Items) -> None:
    items[_at(items)][0] = items[0][0]


SPOILED: dict[str, Spoil] = {
    "left out": _dropped,
    "switched off": _changing(digest=bytes(32)),
    "with a switch that nobody knows": _changing(digest=b"\xff" * 32),
    "of another version": _changing(version=2),
    "an entry about something else": _changing(kind="keyslot", subject=bytes(16)),
    "undone behind the head": _undone,
    "repeated": _repeated,
    "in another place": _moved,
    "another entry in its place": _first_twice,
}


def spoiling(spoil: Spoil) -> Callable[[Page], None]:
    """A page of the feed in which the entry with the settings was tampered with."""

    def rewrite(page: Page) -> None:
        if any(parse_leaf(item[0]).entry.kind == SETTINGS for item in page[2]):
            before = len(page[2])
            spoil(page[2])
            page[0] += len(page[2]) - before

    return rewrite


@pytest.fixture
def settled(victim: Victim) -> Victim:
    """A victim that knows the vault as it was, and whose owner has settled otherwise since."""
    victim.vault.confirm(victim.owner.vault.status().head)
    victim.owner.vault.remember("between")
    victim.owner.vault.set_settings(sealed=True)
    victim.owner.vault.remember("after")
    return victim


@pytest.mark.attack(13, 16, 20)
@pytest.mark.parametrize("how", SPOILED)
def test_no_server_takes_the_setting_back(settled: Victim, how: str) -> None:
    """However the entry is tampered with, the device takes nothing and shows no title."""
    settled.evil.rewrite["/sync"] = spoiling(SPOILED[how])
    settled.world.clock.forward(minutes=6)
    with pytest.raises(CoffretError):
        write(settled.vault)
    assert not is_told(settled.evil)
    settled.refuses(TrustError)
    write(settled.vault)
    assert not is_told(settled.evil)


@pytest.mark.control(13, 16, 20)
def test_a_client_that_does_not_compare_roots_shows_its_titles(settled: Victim) -> None:
    """Control: without the comparison of roots the setting is off, and the title goes out."""
    spoil, roots = spoiling(SPOILED["switched off"]), list[bytes]()

    def rewrite(page: Page) -> None:
        spoil(page)
        roots.append(parse_head(page[1]).head.root)

    settled.evil.rewrite["/sync"] = rewrite
    settled.world.clock.forward(minutes=6)
    with patch.object(Frontier, "root", lambda _: roots[-1]), pytest.raises(CoffretError):
        write(settled.vault)
    assert is_told(settled.evil)


@pytest.mark.attack(20)
def test_no_app_settles_anything() -> None:
    """An app that signs an entry with settings signs what nobody reads."""
    entry = settings_entry(bytes(16), Settled(1, Settings(sealed=True)), 1)
    signed = msgspec.structs.replace(entry, author=Author(b"p" * 16))
    with pytest.raises(CoffretError):
        ENTRY.serialize(signed)
    by_app = ENTRY.serialize(entry)[:-17] + b"\x11\1" + b"p" * 16 + ENTRY.serialize(entry)[-16:]
    with pytest.raises(CoffretError):
        parse_leaf(by_app + bytes(64))


@pytest.fixture
def restored(stage: Stage) -> Iterator[Stage]:
    """The stage, whose database is put back in the end."""
    found = stage.database.copy()
    yield stage
    stage.database.write(found)


def settled_and_undone(stage: Stage) -> Vault:
    """A device that settled otherwise, at a server that went back to before that."""
    device = stage.world.device(stage.owner)
    yesterday = stage.database.copy()
    device.set_settings(sealed=True)
    stage.database.write(yesterday)
    return device


@pytest.mark.attack(17)
def test_yesterday_s_server_gets_no_title(restored: Stage) -> None:
    """A device that knows the setting stops; a new one, which cannot know it, seals anyway."""
    device, wire = settled_and_undone(restored), Recorder()
    with pytest.raises(TrustError):
        device.sync()
    fresh = restored.world.device(restored.owner, transport=wire)
    assert not fresh.settings().sealed
    write(fresh)
    assert not is_told(wire)


def shown_and_sealed_since(stage: Stage) -> str:
    """A memory that shows at a server that went back to before its owner sealed it."""
    device = stage.world.device(stage.owner)
    device.confirm(stage.owner.vault.status().head)
    memory_id: str = device.remember("x", title="harmless").id
    yesterday = stage.database.copy()
    device.update(memory_id, sealed=True)
    stage.database.turn_back(yesterday)
    return memory_id


@pytest.mark.attack(17)
def test_yesterday_s_server_gets_no_title_of_what_was_sealed(restored: Stage) -> None:
    """What shows on a new device may have been sealed since, so it is when it is written again."""
    memory_id, wire = shown_and_sealed_since(restored), Recorder()
    fresh = restored.world.device(restored.owner, transport=wire)
    assert not fresh.get(memory_id).sealed
    assert fresh.update(memory_id, title=TITLE, tags=["telltale-tag"]).sealed
    assert not is_told(wire)
    fresh.update(memory_id, title=TITLE, sealed=False)
    assert is_told(wire)


@pytest.mark.control(17)
def test_a_new_client_that_believes_what_shows_goes_on_showing_it(restored: Stage) -> None:
    """Control: one to which a later version is as the one before was, before it was confirmed."""
    memory_id, wire = shown_and_sealed_since(restored), Recorder()
    fresh = restored.world.device(restored.owner, transport=wire)
    with patch("coffret.flows.memories.is_confirmed", return_value=True):
        assert not fresh.update(memory_id, title=TITLE).sealed
    assert is_told(wire)


@pytest.mark.attack(13, 55)
def test_what_another_device_has_sealed_is_not_shown_by_one_that_was_away(victim: Victim) -> None:
    """Behind a version that shows, a device looks whether that is the newest before it writes."""
    memory_id = victim.owner.vault.remember("x", title="harmless").id
    victim.vault.sync()
    victim.vault.confirm(victim.owner.vault.status().head)
    victim.owner.vault.update(memory_id, sealed=True)
    victim.world.clock.forward(minutes=6)
    assert victim.vault.update(memory_id, title=TITLE, tags=["telltale-tag"]).sealed
    assert not is_told(victim.evil)


@pytest.mark.control(13, 55)
def test_a_client_that_does_not_look_first_shows_the_title(victim: Victim) -> None:
    """Control: refused as it is, the version that does not follow has told the title already."""
    memory_id = victim.owner.vault.remember("x", title="harmless").id
    victim.vault.sync()
    victim.vault.confirm(victim.owner.vault.status().head)
    victim.owner.vault.update(memory_id, sealed=True)
    with patch("coffret.flows.visibility.LOOK_AGAIN", 1 << 60):
        assert victim.vault.update(memory_id, title=TITLE).sealed
    assert is_told(victim.evil)


class Away(Recorder):
    """A network that is gone for a while: then nothing goes out."""

    gone = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, if there is a way."""
        if self.gone:
            message = "gone"
            raise httpx.ConnectError(message)
        return super().handle_request(request)


def waited(world: World, *, new: bool) -> Away:
    """What goes out of a device whose change waited while another one sealed titles."""
    wire = Away()
    owner = world.owner(transport=wire)
    memory_id = owner.vault.remember("x", title="harmless").id
    other = world.device(owner)
    wire.gone = True
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        write(owner.vault) if new else owner.vault.update(memory_id, title=TITLE)
    if new:
        other.set_settings(sealed=True)
    else:
        other.update(memory_id, sealed=True)
    world.clock.forward(minutes=6)
    wire.gone = False
    assert owner.vault.sync().unkept == (not new)
    return wire


@pytest.mark.attack(13, 55)
@pytest.mark.parametrize("new", [True, False], ids=["new", "changed"])
def test_what_waited_is_not_shown_where_titles_were_sealed_meanwhile(
    world: World,
    new: bool,  # noqa: FBT001 - a parameter
) -> None:
    """What is sent again after a while goes out only if the log has not outgrown it."""
    assert not is_told(waited(world, new=new))


@pytest.mark.control(13, 55)
def test_a_client_that_sends_again_unseen_shows_the_title(world: World) -> None:
    """Control: what can never be accepted any more is refused, and was told with that."""
    with patch("coffret.flows.visibility.LOOK_AGAIN", 1 << 60):
        assert is_told(waited(world, new=True))


@pytest.mark.control(17)
def test_a_new_client_that_believes_yesterday_s_server_shows_its_titles(restored: Stage) -> None:
    """Control: one that goes by the log that it is shown, before that was compared."""
    settled_and_undone(restored)
    wire = Recorder()
    fresh = restored.world.device(restored.owner, transport=wire)
    fresh._state.confirm()
    fresh._state.store.set_meta(*covered_note(WHOLE))
    write(fresh)
    assert is_told(wire)


@pytest.mark.attack(17)
def test_the_kit_of_the_first_day_confirms_no_more_than_that_day(restored: Stage) -> None:
    """What came after it is by the server's word, so a device that was confirmed by it seals on."""
    settled_and_undone(restored)
    wire, owner = Recorder(), restored.owner
    fresh = restored.world.device(owner, transport=wire)
    size = fresh.confirm(owner.kit.text())
    status = fresh.status()
    assert status.confirmed
    assert status.confirmed_entries == size < status.entries
    assert fresh.settings().sealed_here
    write(fresh)
    assert not is_told(wire)
    fresh.confirm(status.head)
    assert not fresh.settings().sealed_here
    assert fresh.status().confirmed_entries == fresh.status().entries


def test_what_a_new_device_signs_by_itself_needs_no_confirming(world: World) -> None:
    """A head of before it entered covers what it was shown, though it accepted something since."""
    owner = world.owner()
    _, access = world.granted(owner, world.app(), auto_accept=True)
    head = owner.vault.status().head
    access.remember("waits for a device")
    fresh = world.device(owner)
    assert [memory.content for memory in fresh.list()] == ["waits for a device"]
    assert fresh.settings().sealed_here
    fresh.confirm(head)
    assert not fresh.settings().sealed_here


@pytest.mark.attack(13)
def test_a_server_that_hides_the_newest_entries_is_found_out(settled: Victim) -> None:
    """Shown nothing new, a device cannot know; whatever it writes then is refused and noticed."""

    def nothing_new(page: Page) -> None:
        page[0], page[1], page[2] = seen.position().size, seen.position().head.note, []

    seen: Any = settled.vault._state
    settled.evil.rewrite["/sync"] = nothing_new
    settled.world.clock.forward(minutes=6)
    with pytest.raises(TrustError, match="shows nothing"):
        write(settled.vault)
    settled.evil.rewrite.clear()
    settled.vault.sync()
    assert settled.vault.settings().sealed


@pytest.mark.attack(13)
def test_an_app_s_plain_title_is_sealed_when_it_is_accepted(world: World) -> None:
    """An app that shows a title in a sealed vault is read; what counts afterwards shows none."""
    owner, app = world.owner(sealed=True), world.app()
    _, access = world.granted(owner, app, auto_accept=True)
    access.remember("quiet", title=TITLE)
    loud: dict[str, Any] = {"title": TITLE, "tags": ["telltale-tag"], "sealed": False}
    name = access.remember("loud", **loud).id
    owner.vault.sync()
    found = {memory.content: memory for memory in owner.vault.list()}
    assert {memory.sealed for memory in found.values()} == {True}
    assert found["loud"].title == TITLE
    assert found["loud"].author == "owner"
    assert found["loud"].provenance == {"written_by": app.info.app_id}
    assert found["quiet"].author == app.info.app_id
    access.refresh()
    assert {memory.content for memory in access.memories()} == {"quiet", "loud"}
    assert access.remember("loud", memory_id=name, **loud).sealed
