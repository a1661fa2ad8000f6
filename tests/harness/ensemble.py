"""A vault's owner, two of their devices and two apps, beside a model of what they should see.

Each party reaches the server through a whim of its own. One more device of the owner, the witness,
is never lied to: what it shows decides what became of a step that failed half-way.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from coffret.flows.http import b64
from coffret_vault.errors import (
    CoffretError,
    CredentialsError,
    GrantError,
    KeysChangedError,
    OwnerKeyChangedError,
    TrustError,
)
from coffret_vault.formats.layout import parse_id
from harness.following import DAY, MARGIN, Following
from harness.parties import Client, Device, Step, like, log_of, shown
from harness.reference import ACTIVE, Model, Share, Shown
from harness.whims import Plan, Whim
from harness.world import Watch, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret import Memory, Vault
    from harness.database import Row


def _sent(device: Device, leaf: bytes) -> bool:
    """Whether a device sent an entry, which a server may have said that it took."""
    forms = (leaf, b64(leaf).encode())
    return any(form in request.content for request in device.whim.sent for form in forms)


class Ensemble(Following):
    """What they do, and what has to hold then."""

    # -- steps ------------------------------------------------------------------------------------

    def honest(self, party: Device | Client, step: Step) -> None:
        """Carry out a step with an honest server: it does what it says, or is refused."""
        self.tally["honest"] += 1
        if isinstance(party, Device):
            self.catch_up(party)
        if step.refused is not None:
            with pytest.raises(step.refused):
                step.act()
            self._adopt((), complete=True)
            return
        done = self._done(party, step)
        self._adopt(() if done is False else step.effects, complete=True)
        if isinstance(party, Client):
            self._read(party)

    def _done(self, party: Device | Client, step: Step) -> Any:
        """What a step gives, if need be after entering again with a new passphrase."""
        try:
            return step.act()
        except KeysChangedError:
            assert isinstance(party, Device)
            assert len(self.keychain.known) > 1
            self.keychain.enter_again(party.vault)
            return step.act()

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
        known = failed or not step.effects
        if isinstance(party, Device) and not party.vault.is_locked and known:
            self._is_no_invention_yet(party)
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
        self._went_its_own_way(device)
        before = shown(device.vault)
        with pytest.raises((TrustError, CredentialsError)):
            self._sync(device)
        self.unlock(device)
        assert shown(device.vault) == before
        self.tally["forked"] += 1
        self.devices[self.devices.index(device)] = self._device()
        return True

    def _leaves(self) -> dict[int, bytes]:
        """The log as the server has it, each leaf as MessagePack."""
        account = self.witness._state.account_id
        rows = self.database.rows("entries")
        return {row["seq"]: row["leaf"] for row in rows if row["account_id"] == account}

    def _forked(self, vault: Vault) -> bool:
        """Whether a device has a log that the server's, which is honest now, does not continue."""
        leaves = self._leaves()
        return any(leaves.get(at) != leaf for at, leaf in enumerate(log_of(vault)))

    def _went_its_own_way(self, device: Device) -> None:
        """A device's log is another only by what it wrote itself, or when it was shown another."""
        honest = self._leaves()
        for at, leaf in enumerate(log_of(device.vault)):
            known = leaf == self.other.get(at, honest.get(at, leaf))
            assert known or _sent(device, msgspec.msgpack.decode(leaf))

    # -- sharing ----------------------------------------------------------------------------------

    def share(
        self,
        device: Device,
        client: Client,
        terms: dict[str, Any],
        how: dict[str, Any],
        days: int,
    ) -> None:
        """An app asks, and a device of the owner approves; narrower than asked, maybe."""
        self.catch_up(device)
        self._sync(device)
        asked = self._asked(client, {**terms, "duration": days * DAY - MARGIN})
        device.vault.requests(None)
        grant = device.vault.approve(asked, words=client.app.words, **how)
        client.access, client.grant = client.app.access(asked), grant
        client.keys.append(client.access._held.key)
        scopes = client.access.scopes
        standing, auto = how.get("standing", False), how.get("auto_accept", False)
        held = set(how.get("memories") or self.model.memories) if "read" in scopes else set()

        def effect(model: Model, _seen: Shown) -> None:
            ends = model.day + days
            model.grants[grant] = Share(client.number, scopes, standing, held, ends, auto)

        self.tally["honest"] += 1
        self._adopt((effect,), complete=True)
        self._read(client)

    def _asked(self, client: Client, terms: dict[str, Any]) -> str:
        """An app asks; an owner whose keys were changed since only if it is told their words."""
        now = self.keychain.now.generation
        if client.knows not in {0, now}:
            with pytest.raises(OwnerKeyChangedError):
                ask(client.app, self.owner, **terms)
            terms = {**terms, "owner_words": self.witness.words}
        client.knows = now
        return ask(client.app, self.owner, **terms)

    def pass_days(self, days: int) -> None:
        """Time passes, for everybody."""
        self.tally["days"] += days
        self.world.clock.forward(days=days)
        self._adopt((lambda model, _: model.pass_days(days),), complete=True)

    def allowed(self, client: Client, *scopes: str) -> type[CoffretError] | None:
        """The error that an app gets for what its grant does not include; None if it does."""
        share = self.model.grants[client.grant]
        active = self.model.stands(client.grant) == ACTIVE
        return None if active and share.scopes >= set(scopes) else GrantError

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
        assert device.lied_to or not self.model.overdue()
        device.at = len(self.states) - 1

    def _is_no_invention_yet(self, device: Device) -> None:
        """The same, where what it may have accepted unseen is not in the model before the mend."""
        if not any(map(self.model.may_be_accepted_unseen, self.model.waiting)):
            self.is_no_invention(device)

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
        """No key of before a grant's end, or a key change, opens what was written after it."""
        store = self.witness._state.store
        for revoked, loot in self.kept:
            for memory_id, sealed in self.model.sealed.items():
                if sealed <= revoked:
                    continue
                state = store.state(parse_id(memory_id))
                assert state is not None
                record = store.record(parse_id(memory_id), state.current)
                assert record is not None
                loot.opens_nothing_of(self.witness._state.account_id, record)

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
        whim, watch = Whim(), Watch(self.world.clock)
        if plan is not None:
            whim.misbehave(plan)
        with self.turned(tables):
            try:
                vault = self.world.device(self.owner, **self._around(whim, watch))
                device = Device(vault, whim, watch, lied_to=True)
            except CoffretError:
                self.tally["refused"] += 1
                return
            self.tally["no difference"] += 1
            self._is_no_invention_yet(device)
            whim.behave()
        self.devices[at].vault.close()
        self.devices[at] = device
        replaced = self._repair(device)
        self._adopt((), complete=True)
        if not replaced:
            self.is_present(device)
