"""Hostile apps and servers around grants: what is kept, handed over, forged or exchanged."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import access as access_flows
from coffret.flows.http import b64
from coffret.flows.session import get_packed
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import (
    FormatError,
    GrantError,
    GrantExpiredError,
    GrantRevokedError,
    InputError,
    OpenError,
    TrustError,
)
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER, KEK
from coffret_vault.formats.sharing import ACCESS_REQUEST, GRANT, grant_approval
from coffret_vault.grants.apps import sign_request
from coffret_vault.keyring.keyring import identity_from_seeds
from coffret_vault.records.seal import (
    Wrapping,
    open_version,
    unwrap_memory_key,
    wrap_memory_key,
)
from harness.flipping import flipped
from harness.keeping import keeping_keys
from harness.network import Evil, updating
from harness.world import Clock, ask

if TYPE_CHECKING:
    from coffret import Access, Vault
    from coffret_vault.formats.memory import Record
    from coffret_vault.primitives.secret import SecretBytes
    from harness.victim import Victim
    from harness.world import World


def record_of(vault: Vault, memory_id: str) -> Record:
    """The record of a memory's current version, as the server holds it."""
    store = vault._state.store
    state = store.state(parse_id(memory_id))
    assert state is not None
    record = store.record(parse_id(memory_id), state.current)
    assert record is not None
    return record


def hoard(access: Access) -> list[SecretBytes]:
    """Every key that an app can lay hands on: its grant's, and those of what it can read."""
    access.refresh()
    readable = access._shelf._readable.values()
    return [access._held.key, *(item.key for item in readable if item.key is not None)]


def opens(access: Access, keys: list[SecretBytes], record: Record, wraps: list[bytes]) -> bool:
    """Whether any key opens a record, by itself or through any wrap that was ever seen."""
    header = HEADER.parse(record.header)
    found = list(keys)
    for wrap in (record.wrap, *wraps):
        for key in keys:
            name = KEK.decode(record.kek)
            for wrapping in (Wrapping(name, key), access_flows._wrapping(access._held)):
                try:
                    found.append(unwrap_memory_key(header, wrap, Wrapping(wrapping.name, key)))
                except OpenError:
                    continue
    for key in found:
        try:
            open_version(record.header, record.envelope, key)
        except OpenError:
            continue
        return True
    return False


def granted(world: World, network: Evil | None = None, **asking: Any) -> tuple[Any, ...]:
    """An owner with a granted and a private memory, an app, and its grant."""
    owner = world.owner()
    app = world.app(transport=network) if network else world.app()
    shared = owner.vault.remember("shared", tags=["t"])
    private = owner.vault.remember("private", tags=["p"])
    grant_id, access = world.granted(owner, app, tags=["t"], **asking)
    return owner, app, shared, private, grant_id, access


@pytest.mark.attack(37)
def test_nothing_outside_the_grant_opens_even_if_handed_over(world: World) -> None:
    """With every key and wrap it has, an app opens what was granted and nothing else."""
    owner, _, shared, private, _, access = granted(world)
    keys = hoard(access)
    assert opens(access, keys, record_of(owner.vault, shared.id), [])
    assert not opens(access, keys, record_of(owner.vault, private.id), [])
    later = owner.vault.remember("later", tags=["t"])
    assert not opens(access, keys, record_of(owner.vault, later.id), [])


def test_a_hostile_server_cannot_slip_a_memory_into_a_grant(world: World) -> None:
    """A page into which the server puts another record, under any wrap and any leaf, is refused."""
    evil = Evil()
    owner, _, shared, private, grant_id, access = granted(world, evil)
    record = record_of(owner.vault, private.id)
    for own_wrap in (False, True):

        def slip(page: list[Any], own_wrap: bool = own_wrap) -> None:  # noqa: FBT001 - bound here
            wrap = record.wrap if own_wrap else page[1][0][3]
            page[1].append([record.header, record.envelope, 1, wrap, "accepted", *page[1][0][5:]])

        evil.rewrite[f"/grants/{grant_id}/records"] = slip
        with pytest.raises(TrustError, match="not the one that the owner's log names"):
            access.memories()
    evil.rewrite.clear()
    assert [memory.id for memory in access.memories()] == [shared.id]


def test_an_altered_memory_is_not_read_by_an_app(world: World) -> None:
    """What was altered on its way to an app is refused: header, envelope and wrap."""
    evil = Evil()
    _, _, _, _, grant_id, access = granted(world, evil)
    for part in (0, 1, 3):

        def alter(page: list[Any], part: int = part) -> None:
            data = page[1][0][part]
            page[1][0][part] = flipped(data)

        evil.rewrite[f"/grants/{grant_id}/records"] = alter
        with pytest.raises((TrustError, FormatError)):
            access.memories()
    evil.rewrite.clear()
    assert len(access.memories()) == 1


@pytest.mark.attack(38)
@pytest.mark.parametrize("how", ["lazily", "at once"])
def test_what_was_kept_opens_nothing_written_after_a_revocation(world: World, how: str) -> None:
    """All keys and wraps of a revoked app open no later version, even if it is handed over."""
    owner, _, shared, _, grant_id, access = granted(world)
    keys = hoard(access)
    before = record_of(owner.vault, shared.id)
    owner.vault.revoke(grant_id)
    if how == "at once":
        assert owner.vault.rotate(grant_id) >= 1
    changed = owner.vault.update(shared.id, content="after the revocation")
    wraps = [before.wrap, *_all_wraps(owner.vault, grant_id)]
    after = record_of(owner.vault, changed.id)
    assert HEADER.parse(after.header).key_number > HEADER.parse(before.header).key_number
    assert opens(access, keys, before, wraps)
    assert not opens(access, keys, after, wraps)


@pytest.mark.attack(37, 38)
def test_what_a_standing_grant_covers_no_longer_is_taken_out_of_it(world: World) -> None:
    """An owner who took the tag away can take the memory out: what is written then opens not."""
    owner, _, shared, _, grant_id, access = granted(world, standing=True, approve_standing=True)
    keys = hoard(access)
    with pytest.raises(InputError, match="whatever matches"):
        owner.vault.narrow(grant_id, [shared.id])
    owner.vault.update(shared.id, tags=["other"])
    assert owner.vault.narrow(grant_id, [shared.id]) == 1
    owner.vault.update(shared.id, content="after it was taken out")
    assert not access.memories()
    wraps = _all_wraps(owner.vault, grant_id)
    assert not opens(access, keys, record_of(owner.vault, shared.id), wraps)


def _all_wraps(vault: Vault, grant_id: str) -> list[bytes]:
    flow = get_packed(vault._state, f"/grants/{grant_id}/wraps")
    page = msgspec.msgpack.decode(vault._driver.run(flow).body)
    return [wrap for _, _, wrap in page[1]]


@pytest.mark.control(38)
def test_without_fresh_keys_what_was_kept_would_open_it(world: World) -> None:
    """Control: had the key not been replaced, the revoked app would read the later version."""
    owner, _, shared, _, grant_id, access = granted(world)
    keys = hoard(access)
    owner.vault.revoke(grant_id)
    with keeping_keys():
        owner.vault.update(shared.id, content="after the revocation")
    assert opens(access, keys, record_of(owner.vault, shared.id), [])


@pytest.mark.attack(38)
def test_what_was_kept_opens_nothing_written_after_a_grant_ended(world: World) -> None:
    """A grant that ran out is treated like one that was revoked: the next write has a fresh key."""
    owner, _, shared, _, _, access = granted(world)
    keys = hoard(access)
    world.clock.forward(days=31)
    owner.vault.update(shared.id, content="after the end")
    assert not opens(access, keys, record_of(owner.vault, shared.id), [])
    with pytest.raises(GrantExpiredError):
        access.memories()


@pytest.mark.attack(38, 55)
def test_a_device_that_was_behind_does_not_write_for_a_revoked_app(world: World) -> None:
    """A device that has not heard of a revocation learns of it before its write is taken."""
    owner, _, shared, _, grant_id, access = granted(world, standing=True, approve_standing=True)
    behind = world.device(owner)
    keys = hoard(access)
    owner.vault.revoke(grant_id)
    behind.update(shared.id, content="after the revocation")
    created = behind.remember("created after", tags=["t"])
    assert not opens(access, keys, record_of(behind, shared.id), [])
    assert not opens(access, keys, record_of(behind, created.id), [])
    with pytest.raises(GrantRevokedError):
        access.memories()


@pytest.mark.attack(37)
@pytest.mark.attack(2)
def test_a_grant_s_wraps_are_not_taken_on_the_server_s_word(world: World) -> None:
    """A server that names a private memory among a grant's gets no key of it for the app."""
    owner, app, _, private, grant_id, access = granted(world)
    evil = Evil()
    grant_key = access._held.key
    header = HEADER.parse(record_of(owner.vault, private.id).header)
    own = wrap_memory_key(header, grant_key, access_flows._wrapping(access._held), random=bytes)
    evil.rewrite["/grants"] = partial(_first_updated, {"memories": 2})
    for wrap, number in product((own, bytes([1]) + bytes(112)), (1, 2)):

        def name(page: list[Any], given: Any = (header.memory_id, number, wrap)) -> None:
            page[1].append(given)

        evil.rewrite[f"/grants/{grant_id}/wraps"] = name
        device = world.device(owner, transport=evil)
        device.update(private.id, content="changed")
        _check_not_held(device, access, grant_id, private.id)
    assert app.access(app.requests()[0]).memories() == access.memories()


def _check_not_held(device: Vault, access: Access, grant_id: str, memory_id: str) -> None:
    assert parse_id(memory_id) not in device._state.store.grants.memories(parse_id(grant_id))
    assert not opens(access, hoard(access), record_of(device, memory_id), [])


@pytest.mark.control(37)
@pytest.mark.control(2)
def test_a_client_that_takes_the_server_s_word_hands_the_next_key_over(world: World) -> None:
    """Control: a device that believes the named wraps gives the app the private memory's key."""
    owner, _, _, private, grant_id, access = granted(world)
    other = world.app("To be revoked")
    gone, _ = world.granted(owner, other, everything=True)
    evil = Evil()
    memory = parse_id(private.id)
    evil.rewrite[f"/grants/{grant_id}/wraps"] = lambda page: page[1].append(
        [memory, 1, bytes([1]) + bytes(112)]
    )
    evil.rewrite["/grants"] = lambda answer: [
        {**item, "memories": 9} if item["grant_id"] == grant_id else item for item in answer
    ]
    owner.vault.revoke(gone)
    with patch("coffret.flows.wraps._holds", return_value=True):
        device = world.device(owner, transport=evil)
    device.update(private.id, content="handed over")
    assert "handed over" in {item.content for item in access.memories()}


def _first_updated(changed: dict[str, Any], answer: list[Any]) -> None:
    answer[0].update(changed)


@pytest.mark.attack(36)
def test_a_request_that_was_tampered_with_is_not_shown(world: World) -> None:
    """Terms, app, owner or signature changed on the way: the owner is shown nothing."""
    owner, app, other = world.owner(), world.app(), world.app("Other")
    evil = Evil()
    victim = world.device(owner, transport=evil)
    request_id = ask(app, owner)
    request = app._state.asked(request_id).parse()
    manifest, mine = other._state.file, app._state
    wider = ACCESS_REQUEST.serialize(msgspec.structs.replace(request, seconds=9_999_999))
    elsewhere = sign_request(mine.identity, msgspec.structs.replace(request, account_id=bytes(16)))
    attacks = (
        {"request": b64(wider)},
        {
            "manifest": b64(manifest.manifest),
            "manifest_signature": b64(manifest.manifest_signature),
        },
        {"manifest": b64(manifest.manifest)},
        {"signature": b64(bytes(64))},
        {"request": b64(elsewhere.message), "signature": b64(elsewhere.signature)},
    )
    for changed in attacks:
        evil.rewrite["/access-requests"] = partial(_first_updated, changed)
        with pytest.raises(TrustError):
            victim.requests()


@pytest.mark.attack(33, 34, 35)
def test_an_app_takes_up_only_its_owner_s_answer(world: World) -> None:
    """A grant by the server, for another request, of another key, or wider, is refused."""
    evil = Evil()
    owner, app, _, _, grant_id, access = granted(world, evil)
    request_id = app.requests()[0]
    path = f"/access-requests/{request_id}/credentials"
    second = ask(app, owner, tags=["p"])
    owner.vault.requests(None)
    owner.vault.approve(second)
    others: list[Any] = []
    evil.rewrite[f"/access-requests/{second}/credentials"] = others.append
    app.access(second)
    grant = access._held.grant
    wider = GRANT.serialize(
        msgspec.structs.replace(grant, expires=grant.expires + 10**12, scopes=frozenset(["read"]))
    )
    forger = identity_from_seeds(bytes(64))
    sealed = bytes(1168)
    forged = sign_statement(forger.signing, "grant", grant_approval(wider, sealed))
    attacks = (
        others[0],
        {"sealed_key": others[0]["sealed_key"]},
        {"grant": b64(wider)},
        {"grant": b64(wider), "sealed_key": b64(sealed), "signature": b64(forged)},
        {"signature": b64(bytes(64))},
    )
    for changed in attacks:
        evil.rewrite[path] = updating(changed)
        with pytest.raises(TrustError):
            app.access(request_id)
    evil.rewrite.clear()
    assert app.access(request_id).scopes == access.scopes
    assert grant_id


@pytest.mark.attack(39)
def test_a_pending_write_is_not_passed_off_as_a_trusted_app_s(victim: Victim) -> None:
    """A server cannot have one app's proposal accepted under another app's auto-acceptance."""
    world, owner = victim.world, victim.owner
    trusted, other = world.app("Trusted"), world.app("Other")
    trusted_id, _ = world.granted(owner, trusted, auto_accept=True)
    other_id, access = world.granted(owner, other)
    (wrap,) = _all_wraps(owner.vault, trusted_id)
    access.update(victim.seen.id, content="poison")

    def exchange(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None and item[1][2] == b"\1" + parse_id(other_id):
                item[1][2] = b"\1" + parse_id(trusted_id)
                item[1][3] = wrap

    victim.evil.rewrite["/sync"] = exchange
    victim.vault.sync()
    assert victim.vault.get(victim.seen.id).content == "seen by both"
    assert len(victim.vault.pending()) == 1


def test_an_app_cannot_write_in_another_s_name_or_outside_its_grant(world: World) -> None:
    """The server itself refuses an update of what the grant has no key of."""
    owner, app = world.owner(), world.app()
    private = owner.vault.remember("private", tags=["p"])
    owner.vault.remember("shared", tags=["t"])
    _, access = world.granted(owner, app, tags=["t"])
    access.refresh()
    known = next(iter(access._shelf._readable.values()))
    header = HEADER.parse(record_of(owner.vault, private.id).header)
    stolen = msgspec.structs.replace(known, header=header)
    flow = access_flows.update(access._state, access._held, stolen, lambda fields: fields)
    with pytest.raises(GrantError):
        access._driver.run(flow)
    owner.vault.sync()
    assert owner.vault.pending() == []


@pytest.mark.attack(34)
def test_the_server_s_clock_cannot_keep_a_grant_alive(world: World, server_clock: Clock) -> None:
    """An app stops at the end that the owner signed, though the server would go on."""
    owner, _, _, _, _, access = granted(world)
    server_clock.offset = -timedelta(days=1)
    try:
        world.clock.forward(days=31)
        with pytest.raises(GrantExpiredError):
            access.remember("too late")
    finally:
        server_clock.offset = timedelta()
    assert owner.vault.pending() == []
