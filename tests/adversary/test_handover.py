"""Keys that a device hands over while the owner ends a grant, or narrows it, on another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import handover
from coffret.flows.freshness import stale_among
from coffret.flows.grantfeed import grant_wrapping
from coffret_vault.errors import (
    ConflictError,
    GrantExpiredError,
    GrantRevokedError,
    NetworkError,
    OpenError,
)
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from coffret_vault.records.seal import open_version, unwrap_memory_key
from harness.network import BASE, Losing, Recorder
from harness.world import MONTH, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from coffret import App, Vault
    from coffret.flows.http import Flow
    from coffret_vault.store import GrantRow
    from harness.world import Owner, World

AFTER = "written after the owner took it away"


class Stalling(Recorder):
    """A server that lets something else happen before it takes one request."""

    def __init__(self) -> None:
        """Nothing is to happen yet."""
        super().__init__()
        self.when: Callable[[httpx.Request], bool] = lambda _: False
        self.then: Callable[[], object] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let it happen once, and send the request on."""
        if self.when(request):
            self.when = lambda _: False
            self.then()
        return super().handle_request(request)


class Two:
    """An owner with two devices, of which one approves an app's request."""

    def __init__(self, world: World, scopes: set[str], network: httpx.BaseTransport) -> None:
        """A memory whose key is stale, since a grant that held it was revoked, is asked for."""
        self.owner: Owner = world.owner()
        self.app: App = world.app()
        first = world.app("First", "https://first.example")
        self.memory = self.owner.vault.remember("secret of before", tags=["t"]).id
        gone, _ = world.granted(self.owner, first, tags=["t"], scopes={"read"})
        self.owner.vault.revoke(gone)
        self.vault: Vault = world.device(self.owner, transport=network)
        self.request_id = ask(self.app, self.owner, tags=["t"], scopes=scopes)
        self.vault.requests()

    def approve(self) -> None:
        """Approve on the one device."""
        self.vault.approve(self.request_id, words=self.app.words)

    def write(self, change: Callable[[str], object]) -> None:
        """Change the grant that was just made, and write, on the other device."""
        self.owner.vault.sync()
        (grant_id,) = [item.grant_id for item in self.owner.vault.grants() if self._is_its(item)]
        change(grant_id)
        self.owner.vault.update(self.memory, content=AFTER)

    def narrow(self, grant_id: str, *, here: bool) -> None:
        """Take the memory out, on the device that approves or on the other one."""
        device = self.vault if here else self.owner.vault
        device.sync()
        assert device.narrow(grant_id, [self.memory]) == 1

    def _is_its(self, grant: Any) -> bool:
        return bool(grant.app.app_id == self.app.info.app_id)

    def leaked(self, sent: list[httpx.Request]) -> list[str]:
        """What the keys open that were sent for the app's grant, of what the owner has now."""
        self.vault.sync()
        state, app_id = self.vault._state, parse_id(self.app.info.app_id)
        (row,) = [row for row in state.store.grants.all() if row.statement().app_id == app_id]
        memory = state.store.state(parse_id(self.memory))
        assert memory is not None
        record = state.store.record(parse_id(self.memory), memory.current)
        assert record is not None
        header, found = parse_header(record.header), []
        for memory_id, _, wrap in wraps_of(sent):
            assert memory_id == parse_id(self.memory)
            try:
                key = unwrap_memory_key(header, wrap, grant_wrapping(state, row))
                found.append(open_version(record.header, record.envelope, key).content)
            except OpenError:
                continue
        return found


def wraps_of(sent: list[httpx.Request]) -> list[tuple[bytes, int, bytes]]:
    """The keys that approvals handed over."""
    posts = [one for one in sent if one.method == "POST" and one.url.path.endswith("/wraps")]
    return [wrap for one in posts for wrap in msgspec.msgpack.decode(one.content)["wraps"]]


def stalled(world: World, error: type[Exception], look: Any = handover._waiting) -> list[str]:
    """What leaks of an approval that is stalled while the owner revokes and writes elsewhere."""
    network = Stalling()
    two = Two(world, {"read", "update"}, network)
    network.when = lambda one: one.method == "POST" and one.url.path == BASE + "/log"
    network.then = lambda: two.write(two.owner.vault.revoke)
    with patch.object(handover, "_waiting", look), pytest.raises(error):
        two.approve()
    return two.leaked(network.requests)


@pytest.mark.attack(38)
def test_a_grant_that_is_known_to_be_revoked_is_handed_nothing(world: World) -> None:
    """A server that stalls an approval until the owner revokes gets no key of what came after."""
    assert stalled(world, GrantRevokedError) == []


def whatever_stands(state: Any, _: object, sharing: Any) -> Any:
    """What a device gives that does not compare keys with those that were decided about."""
    for row, memory in state.store.current():
        if row.memory_id in sharing:
            yield parse_header(row.record.header), memory, row.record


@pytest.mark.control(38)
def test_a_device_that_looks_at_the_grant_once_hands_it_what_came_after(world: World) -> None:
    """Control: without the second look the revoked grant opens what was written after."""
    look, looks = handover._waiting, list[Any]()

    def once(state: Any, grant_id: bytes) -> GrantRow:
        looks[:] = looks or [look(state, grant_id)]
        return looks[0]  # type: ignore[no-any-return]

    with patch.object(handover, "_to_give", whatever_stands):
        assert stalled(world, ConflictError, once) == [AFTER]


@pytest.mark.attack(38)
@pytest.mark.parametrize("part", [1, 2])
def test_every_part_is_handed_over_after_a_look(world: World, part: int) -> None:
    """Where another process learns of a revocation, no part goes out, nor the last word."""
    network = Stalling()
    two = Two(world, {"read"}, network)
    two.vault.remember("another", tags=["t"])
    two.vault.requests()

    def learn(*_: object) -> None:
        two.write(two.owner.vault.revoke)
        two.vault.sync()

    with patch.object(handover, "_PART", part), pytest.raises(GrantRevokedError):
        two.vault.approve(two.request_id, words=two.app.words, progress=learn)
    assert len(wraps_of(network.requests)) == part
    assert not [path for path in network.paths if path.endswith("/activate")]


@pytest.mark.attack(38)
def test_a_grant_that_ended_is_handed_nothing(world: World) -> None:
    """An approval that goes on after the grant's time is over gives it no key."""
    network = Stalling()
    two = Two(world, {"read"}, network)
    with (
        patch("coffret.flows.approval.hand_over", side_effect=NetworkError),
        pytest.raises(NetworkError),
    ):
        two.approve()
    world.clock.forward(days=2 * MONTH.days)
    two.vault.update(two.memory, content=AFTER)
    with pytest.raises(GrantExpiredError):
        two.approve()
    assert wraps_of(network.requests) == []


def revoking_another(world: World, network: Stalling) -> tuple[Two, str, str]:
    """An approval during which a third app's grant is revoked, and a memory that this one held."""
    two = Two(world, {"read", "update"}, network)
    third = world.app("Third", "https://third.example")
    other, _ = world.granted(two.owner, third, tags=["t"], scopes={"read"})
    fresh = two.owner.vault.remember("under a fresh key", tags=["t"]).id
    two.vault.sync()
    two.vault.requests()
    network.when = lambda one: one.method == "POST" and one.url.path == BASE + "/log"
    network.then = lambda: two.owner.vault.revoke(other)
    return two, other, fresh


@pytest.mark.attack(55)
def test_news_of_a_revocation_while_keys_are_made_fresh_makes_more_of_them_fresh(
    world: World,
) -> None:
    """No key goes to an app that may write which another revocation made stale meanwhile."""
    network = Stalling()
    two, other, fresh = revoking_another(world, network)
    with patch("coffret.flows.grants.may_be_exposed", return_value=[]):
        two.approve()
    assert two.owner.vault.grant(other).state == "revoked"
    sent = {memory_id for memory_id, _, _ in wraps_of(network.requests)}
    assert sent == {parse_id(two.memory), parse_id(fresh)}
    assert stale_among(two.vault._state, sorted(sent)) == []


@pytest.mark.attack(38)
@pytest.mark.parametrize("how", ["narrow", "revoke another"])
def test_what_gets_another_key_elsewhere_meanwhile_is_left_out(world: World, how: str) -> None:
    """It may be to take it out: a stalled approval gives none of it, and says so."""
    network = Stalling()
    two, _, _ = revoking_another(world, network)
    if how == "narrow":
        network.then = lambda: two.write(lambda grant: two.narrow(grant, here=False))
    with pytest.raises(ConflictError, match="in force, but without some"):
        two.approve()
    assert two.memory not in {memory.id for memory in two.app.access(two.request_id).memories()}
    assert parse_id(two.memory) not in {memory_id for memory_id, _, _ in wraps_of(network.requests)}
    again = ask(two.app, two.owner, tags=["t"], scopes={"read"})
    (asked,) = two.vault.requests()
    two.vault.approve(asked)
    assert two.memory in {memory.id for memory in two.app.access(again).memories()}


@pytest.mark.attack(55)
def test_no_stale_key_is_handed_over_where_the_news_does_not_end(world: World) -> None:
    """An approval that gave up making keys fresh hands none over, and can be gone on with."""
    network = Stalling()
    two, _, fresh = revoking_another(world, network)
    with (
        patch.object(handover, "_ROUNDS", 1),
        patch("coffret.flows.grants.may_be_exposed", return_value=[]),
        pytest.raises(ConflictError, match="approve"),
    ):
        two.approve()
    assert wraps_of(network.requests) == []
    two.approve()
    assert fresh in {memory.id for memory in two.app.access(two.request_id).memories()}


# -- what was taken out of a grant that was not whole yet ----------------------------------------


LOST = ("/decision", "/wraps", "/activate")


def resumed(world: World, scopes: set[str], lost: str = "/wraps", *, here: bool = False) -> Any:
    """What leaks of an approval that goes on after a memory was narrowed out elsewhere, or here.

    The server had what it was sent, and this answer was lost.
    """
    network = Signed()
    two = Two(world, scopes, network)
    network.lose = lambda one: one.url.path.endswith(lost)
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        two.approve()
    network.lose = lambda _: False
    network.requests.clear()
    two.write(lambda grant_id: two.narrow(grant_id, here=here))
    two.approve()
    return two.leaked(network.requests)


class Signed(Losing, Recorder):
    """A network that loses answers, and keeps every request."""


@pytest.mark.attack(38)
@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("scopes", [{"read"}, {"read", "update"}])
def test_what_was_taken_out_is_not_given_back(
    world: World, scopes: set[str], lost: str, *, here: bool
) -> None:
    """An approval that goes on gives no new key of a memory that the owner took out meanwhile."""
    assert resumed(world, scopes, lost, here=here) == []


@pytest.mark.control(38)
@pytest.mark.parametrize("lost", LOST[:2])
def test_a_device_that_forgets_what_it_sent_gives_it_back(world: World, lost: str) -> None:
    """Control: where it is not kept which key was meant, the app reads what came after."""
    with patch.object(handover, "_to_give", whatever_stands):
        assert resumed(world, {"read"}, lost) == [AFTER]


def test_what_was_sent_and_not_changed_is_sent_again(world: World) -> None:
    """An approval whose keys never arrived is finished when it goes on."""
    network = Signed()
    two = Two(world, {"read", "update"}, network)
    network.lose = lambda one: one.url.path.endswith("/wraps")
    network.reaching = False
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        two.approve()
    network.lose = lambda _: False
    two.vault.update(two.memory, content="changed under its key")
    two.approve()
    read = [memory.content for memory in two.app.access(two.request_id).memories()]
    assert read == ["changed under its key"]


def accepting_nothing(_: object) -> Flow[int]:
    """A device that leaves to the other one what is accepted unseen."""
    yield from ()
    return 0


@pytest.mark.attack(39)
@pytest.mark.parametrize("change", ["pause", "revoke"])
def test_nothing_is_accepted_unseen_after_the_grant_is_known_to_be_over(
    world: World, change: str
) -> None:
    """What an app wrote waits for the owner, where a stalled sync learns that its grant is over."""
    network, owner = Stalling(), world.owner()
    grant_id, access = world.granted(owner, world.app(), scopes={"create"}, auto_accept=True)
    vault = world.device(owner, transport=network)
    for number in range(2):
        access.remember(f"number {number}")

    def end() -> None:
        with patch("coffret.flows.entrance.accept_automatically", accepting_nothing):
            owner.vault.sync()
        getattr(owner.vault, change)(grant_id)

    network.when = lambda one: one.method == "POST" and one.url.path == BASE + "/log"
    network.then = end
    vault.sync()
    assert vault.grant(grant_id).state in {"paused", "revoked"}
    assert len(vault.pending()) == 2
    assert list(vault.list()) == []
