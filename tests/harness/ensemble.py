"""A vault's owner, two of their devices and two apps, beside a model of what they should see.

Each party reaches the server through a whim of its own. One more device of the owner, the witness,
is never lied to: what it shows decides what became of a step that failed half-way.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from coffret import Vault
from coffret_vault.errors import CoffretError, GrantError, OpenError, SessionEndedError, TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.records.seal import open_version
from harness.reference import ACTIVE, REVOKED, Model, Share, Shown
from harness.whims import Whim
from harness.world import PASSPHRASE, World, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from coffret import Access, App, Memory
    from coffret_vault.primitives.secret import SecretBytes
    from harness.database import Database, Row

    Effect = Callable[[Model, Shown], None]
    """Changes the model by what the witness shows; LookupError if it is not that."""


class Step(NamedTuple):
    """Something that a party does.

    Attributes:
        act: does it; gives False where there was nothing to do.
        effects: what it changes, one append after another.
        refused: how it fails with an honest server, if it has to.
    """

    act: Callable[[], Any]
    effects: tuple[Effect, ...] = ()
    refused: type[CoffretError] | None = None


@dataclass(eq=False)
class Device:
    """A device of the owner; ``at`` is the newest state of the model that it is known to show."""

    vault: Vault
    whim: Whim
    at: int = 0


@dataclass(eq=False)
class Client:
    """An app, the grant that it has, and every key that it ever had."""

    app: App
    whim: Whim
    number: int
    access: Access | None = None
    grant: str = ""
    keys: list[SecretBytes] = field(default_factory=list)

    def keep(self) -> None:
        """Keep what can be kept of what was read."""
        assert self.access is not None
        readable = self.access._shelf._readable.values()
        self.keys += [key for item in readable if (key := item.key) not in self.keys]


def shown(vault: Vault) -> Shown:
    """What a device shows."""
    return Shown(
        {memory.id: memory.content for memory in vault.list()},
        {
            (item.memory_id, item.version): item.proposed.content if item.proposed else None
            for item in vault.pending()
        },
        {grant.grant_id: grant.state for grant in vault.grants()},
    )


def like(seen: Shown, state: Shown) -> bool:
    """Whether that is shown; the wrap of what waits may have come wrong, so that it is unread."""
    return (
        seen.memories == state.memories
        and seen.waiting.keys() == state.waiting.keys()
        and all(text in {None, state.waiting[key]} for key, text in seen.waiting.items())
    )


class Ensemble:
    """All of them, and how far they are."""

    def __init__(self, url: str, folder: Path, database: Database, world: World) -> None:
        """An owner with a memory, two more devices, and two apps without grants."""
        self.url, self.folder, self.database, self.world = url, folder, database, world
        self.owner = world.owner()
        self.witness = self.owner.vault
        first = self.witness.remember("the first", tags=["t"])
        self.model = Model(memories={first.id: "the first"}, sealed={first.id: 0})
        self.states = [self.model.shown()]
        self.ever: dict[str, set[tuple[str, str]]] = {}
        self.kept: list[tuple[int, list[SecretBytes]]] = []
        self.devices = [self._device() for _ in range(2)]
        self.apps = [self._client(number) for number in range(2)]
        self.tally = {"honest": 0, "hostile": 0, "refused": 0, "no difference": 0, "forked": 0}

    def _device(self) -> Device:
        whim = Whim()
        vault = self.world.device(self.owner, transport=whim)
        return Device(vault, whim, len(self.states) - 1)

    def _client(self, number: int) -> Client:
        whim = Whim()
        return Client(self.world.app(f"App {number}", transport=whim), whim, number)

    def reopen(self, device: Device) -> None:
        """Close a device's vault and open it again, from what it keeps."""
        folder = device.vault.folder
        device.vault.close()
        device.whim = Whim()
        around = self.world.around(transport=device.whim)
        device.vault = self.world.closing(Vault.open(folder, **around))
        self.unlock(device)

    def unlock(self, device: Device) -> None:
        """Bring a device's keys back, if they are gone."""
        if device.vault.is_locked:
            device.vault.unlock(PASSPHRASE, self.owner.secret_key)

    # -- steps ------------------------------------------------------------------------------------

    def honest(self, party: Device | Client, step: Step) -> None:
        """Carry out a step with an honest server: it does what it says, or is refused."""
        self.tally["honest"] += 1
        if step.refused is not None:
            with pytest.raises(step.refused):
                step.act()
            self._adopt((), complete=True)
            return
        done = step.act()
        self._adopt(() if done is False else step.effects, complete=True)
        if isinstance(party, Client):
            self._read(party)

    def hostile(self, party: Device | Client, step: Step) -> None:
        """Carry out a step while the server misbehaves: an error, or what it would have done."""
        self.tally["hostile"] += 1
        try:
            done, failed = step.act(), False
        except CoffretError:
            done, failed = None, True
        self.tally["refused" if failed else "no difference"] += 1
        self._check_reads(party)
        party.whim.behave()
        self._party = party
        self._outcome = (done, failed)

    def mend(self, party: Device | Client, step: Step) -> None:
        """The server is honest again: what was half done is done or not, and all is well."""
        done, failed = self._outcome
        whole = not failed and done is not False
        if isinstance(party, Device):
            whole = not self._repair(party) and whole
            self._adopt(() if done is False else step.effects, complete=whole)
            if party in self.devices:
                self.is_present(party)
        else:
            self._adopt(() if done is False else step.effects, complete=False)
            self._read(party)

    def _repair(self, device: Device) -> bool:
        """Sync a device; one that went on in a history of its own refuses, and is given up."""
        self.unlock(device)
        if not self._forked(device.vault):
            self._sync(device)
            return False
        before = shown(device.vault)
        with pytest.raises(TrustError):
            device.vault.sync()
        assert shown(device.vault) == before
        self.tally["forked"] += 1
        self.devices[self.devices.index(device)] = self._device()
        return True

    def _sync(self, device: Device) -> None:
        try:
            device.vault.sync()
        except SessionEndedError:
            self.unlock(device)
            device.vault.sync()

    def _forked(self, vault: Vault) -> bool:
        """Whether a device has a log that the server's, which is honest now, does not continue."""
        account = vault._state.account_id
        rows = self.database.rows("entries")
        leaves = {row["seq"]: row["leaf"] for row in rows if row["account_id"] == account}
        store = vault._state.store
        return any(
            at not in leaves or msgspec.msgpack.decode(leaves[at]) != store.leaf(at)
            for at in range(vault.status().entries)
        )

    def _adopt(self, effects: Sequence[Effect], *, complete: bool) -> None:
        """Find out by the witness how far a step went, and let the model follow."""
        self.witness.sync()
        seen, before = shown(self.witness), self.model
        for count in [len(effects)] if complete else range(len(effects) + 1):
            states = self._after(effects[:count], seen)
            if states is None or (states[-1].shown(), states[-1].shown().grants) != (
                seen,
                seen.grants,
            ):
                continue
            self.model = states[-1]
            self.states += [state.shown() for state in states[1:]]
            self._note(before)
            return
        message = f"the witness shows what the model does not know: {seen} after {before.shown()}"
        raise AssertionError(message)

    def _after(self, effects: Sequence[Effect], seen: Shown) -> list[Model] | None:
        """The model before and after each of these effects; None where they cannot have been."""
        states = [deepcopy(self.model)]
        states[0].now += 1
        for effect in effects:
            states.append(deepcopy(states[-1]))
            try:
                effect(states[-1], seen)
            except LookupError:
                return None
        return states

    def _note(self, before: Model) -> None:
        """What apps could read, and what those kept that were just revoked."""
        for name, share in self.model.grants.items():
            self.ever.setdefault(name, set()).update(self.model.readable(name))
            known = before.grants.get(name)
            if share.state == REVOKED and known is not None and known.state != REVOKED:
                keys = list(self.apps[share.app].keys)
                self.kept.append((self.model.now, keys))

    # -- sharing ----------------------------------------------------------------------------------

    def share(
        self, device: Device, client: Client, terms: dict[str, Any], how: dict[str, Any]
    ) -> None:
        """An app asks, and a device of the owner approves; narrower than asked, maybe."""
        asked = ask(client.app, self.owner, **terms)
        device.vault.requests(None)
        grant = device.vault.approve(asked, words=client.app.words, **how)
        client.access, client.grant = client.app.access(asked), grant
        client.keys.append(client.access._held.key)
        scopes = client.access.scopes
        standing = how.get("standing", False)
        held = set(how.get("memories") or self.model.memories) if "read" in scopes else set()

        def effect(model: Model, _seen: Shown) -> None:
            model.grants[grant] = Share(client.number, scopes, standing, held)

        self.tally["honest"] += 1
        self._adopt((effect,), complete=True)
        self._read(client)

    def allowed(self, client: Client, *scopes: str) -> type[CoffretError] | None:
        """The error that an app gets for what its grant does not include; None if it does."""
        share = self.model.grants[client.grant]
        return None if share.state == ACTIVE and share.scopes >= set(scopes) else GrantError

    # -- what has to hold -------------------------------------------------------------------------

    def is_present(self, device: Device) -> None:
        """A device that has synced with an honest server shows the model's present, whole."""
        seen = shown(device.vault)
        assert seen == self.model.shown()
        assert seen.grants == self.model.shown().grants
        assert device.vault.check() == 0
        device.at = len(self.states) - 1

    def is_no_invention(self, device: Device) -> None:
        """A device shows a state that there was, none older than before; or a part of one."""
        seen, whole = shown(device.vault), device.vault.check() == 0
        for at in range(device.at, len(self.states)):
            state = self.states[at]
            if like(seen, state) or (not whole and seen.memories.items() <= state.memories.items()):
                device.at = at
                return
        message = f"a device shows what never was: {seen} behind {self.states[device.at]}"
        raise AssertionError(message)

    def _check_reads(self, party: Device | Client) -> None:
        """Whatever an app was shown is what it could read at some time, or of its own."""
        if isinstance(party, Client) and party.access is not None:
            self._are_its_own(party, self.ever.get(party.grant, set()))

    def _are_its_own(self, client: Client, accepted: set[tuple[str, str]]) -> list[Memory]:
        assert client.access is not None
        memories = client.access._shelf.memories()
        client.keep()
        for memory in memories:
            if memory.review.status == "approved":
                assert (memory.id, memory.content) in accepted
            else:
                proposed = self.model.proposed.get(client.number, set())
                assert (memory.id, memory.content) in proposed
        return memories

    def _read(self, client: Client) -> None:
        """With an honest server an app reads what it was granted, and nothing else."""
        if client.access is None:
            return
        refused = self.allowed(client)
        if refused is not None:
            with pytest.raises(refused):
                client.access.refresh()
            return
        client.access.refresh()
        seen = self._are_its_own(client, self.model.readable(client.grant))
        held = self.model.grants[client.grant].held & self.model.memories.keys()
        assert held <= {memory.id for memory in seen}

    def nothing_kept_opens_what_came_after(self) -> None:
        """No key of a revoked app opens a version that was written after the revocation."""
        store = self.witness._state.store
        for revoked, keys in self.kept:
            for memory_id, sealed in self.model.sealed.items():
                if sealed <= revoked:
                    continue
                state = store.state(parse_id(memory_id))
                assert state is not None
                record = store.record(parse_id(memory_id), state.current)
                assert record is not None
                for key in keys:
                    with pytest.raises(OpenError):
                        open_version(record.header, record.envelope, key)

    # -- the server's database --------------------------------------------------------------------

    @contextmanager
    def turned(self, tables: dict[str, Sequence[Row]]) -> Iterator[None]:
        """The server's database says something else meanwhile; what is written then is lost."""
        before = self.database.copy()
        self.database.write(tables)
        try:
            yield
        finally:
            self.database.write(before)
