"""A vault's owner, two of their devices and two apps, beside a model of what they should see.

Each party reaches the server through a whim of its own. One more device of the owner, the witness,
is never lied to: what it shows decides what became of a step that failed half-way.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from coffret import Vault
from coffret_vault.errors import CoffretError, GrantError, OpenError, SessionEndedError, TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.records.seal import open_version
from harness.parties import Client, Device, Step, like, log_of, shown
from harness.reference import ACTIVE, REVOKED, Model, Share, Shown
from harness.whims import Plan, Whim
from harness.world import PASSPHRASE, World, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from coffret import Memory
    from coffret_vault.primitives.secret import SecretBytes
    from harness.database import Database, Row
    from harness.parties import Effect


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
        self.other: dict[int, bytes] = {}
        self.strays: dict[tuple[bytes, int], bytes] = {}
        self.guide = Device(self.witness, Whim())
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
        if isinstance(party, Device):
            party.lied_to = True
        try:
            done, failed = step.act(), False
        except CoffretError:
            done, failed = None, True
        self.tally["refused" if failed else "no difference"] += 1
        self._check_reads(party)
        if isinstance(party, Device) and not party.vault.is_locked and (failed or not step.effects):
            self.is_no_invention(party)
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
        self._went_its_own_way(device.vault)
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

    def _leaves(self) -> dict[int, bytes]:
        """The log as the server has it, each leaf as MessagePack."""
        account = self.witness._state.account_id
        rows = self.database.rows("entries")
        return {row["seq"]: row["leaf"] for row in rows if row["account_id"] == account}

    def _forked(self, vault: Vault) -> bool:
        """Whether a device has a log that the server's, which is honest now, does not continue."""
        leaves = self._leaves()
        return any(leaves.get(at) != leaf for at, leaf in enumerate(log_of(vault)))

    def _went_its_own_way(self, vault: Vault) -> None:
        """A device's log is another only by what it wrote itself, when it was shown another."""
        honest = self._leaves()
        for at, leaf in enumerate(log_of(vault)):
            assert at not in honest or leaf == self.other.get(at, honest[at])

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
        if device.lied_to:
            # How the key of what waits is wrapped is in no log: it is asked for again to accept it.
            assert like(seen, self.model.shown())
        else:
            assert seen == self.model.shown(), f"{seen} is not {self.model.shown()}"
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
        proposed = self.model.proposed.get(client.number, set())
        for memory in memories:
            named = memory.id, memory.content
            assert named in proposed or (memory.review.status == "approved" and named in accepted)
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
        before, honest = self.database.copy(), self._leaves()
        self.database.write(tables)
        try:
            served = self._leaves()
            yield
            written = {at: leaf for at, leaf in self._leaves().items() if at not in served}
            self.other = {**{at: honest[at] for at in served if at in honest}, **written}
            self._gather(before["entries"])
        finally:
            self.database.write(before)

    def _gather(self, honest: Sequence[Row]) -> None:
        """Keep the records of another history that name a version which there is in this one."""
        records = {(row["subject"], row["version"]): row["record"] for row in honest}
        for row in self.database.rows("entries"):
            name = row["subject"], row["version"]
            if row["record"] and records.get(name) not in {None, row["record"]}:
                self.strays[name] = row["record"]

    def enter(self, at: int, tables: dict[str, Sequence[Row]], plan: Plan | None) -> None:
        """A new device enters while the server misbehaves, and takes the place of another."""
        self.tally["hostile"] += 1
        whim = Whim()
        if plan is not None:
            whim.misbehave(plan)
        with self.turned(tables):
            try:
                device = Device(
                    self.world.device(self.owner, transport=whim), whim, 0, lied_to=True
                )
            except CoffretError:
                self.tally["refused"] += 1
                return
            self.tally["no difference"] += 1
            self.is_no_invention(device)
            whim.behave()
        self.devices[at].vault.close()
        self.devices[at] = device
        if not self._repair(device):
            self.is_present(device)
