"""Random histories of two devices, two apps and a server that misbehaves, beside a plain model.

After every step: each device shows a state that there was, and with an honest server the present
one; an app reads what it was granted and what it wrote; what a revoked app kept opens nothing that
was written later; and whatever the server did ended in an error of ours or made no difference, and
is repaired once it is honest, except that a device whose log was turned back refuses for good.

The ordinary run is the same each time. To look further, for an hour or with another seed::

    COFFRET_MACHINE=2000x40 pytest -s tests/adversary/test_machine.py --hypothesis-seed=7

"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from coffret.testing import Server
from coffret_vault.errors import LockedError
from harness.database import Database, alterations
from harness.ensemble import Client, Device, Ensemble, Step
from harness.reference import ACTIVE, PAUSED, REVOKED, Model, Shown
from harness.whims import WHIMS, Plan
from harness.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.database import Row

ORDINARY = "25x25"
EXAMPLES, STEPS = (int(part) for part in os.environ.get("COFFRET_MACHINE", ORDINARY).split("x"))
LONGER = "COFFRET_MACHINE" in os.environ

two = st.sampled_from([0, 1])
picks = st.integers(0, 9)
numbers = st.integers(0, 1 << 20)
kinds = st.integers(0, 4)
plans = st.builds(Plan, st.sampled_from(WHIMS), st.integers(0, 3), numbers, numbers)
ALL = ("read", "create", "update", "delete")
TERMS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"scopes": ALL, "standing": True}, {"standing": True}),
    ({"scopes": ALL}, {}),
    ({"scopes": ALL}, {"scopes": ["read", "create"]}),
    ({"scopes": ALL}, {"memories": 1}),
    ({"scopes": ["create"]}, {}),
)
"""What is asked and what is left of it in the approval; ``memories`` is how many."""


def begun(grant: str, text: str) -> Any:
    """The effect of an app's writing this text, of which there is no other."""

    def effect(model: Model, seen: Shown) -> None:
        memory_id, version = next(
            (key for key, found in seen.waiting.items() if found == text), ("", 0)
        )
        if not version:
            raise LookupError
        model.propose(grant, memory_id, version, text)

    return effect


def doomed(grant: str) -> Any:
    """The effect of an app's proposing a deletion: the one that the model does not know."""

    def effect(model: Model, seen: Shown) -> None:
        new = [
            key for key, text in seen.waiting.items() if text is None and key not in model.waiting
        ]
        if not new:
            raise LookupError
        model.propose(grant, *new[0], None)

    return effect


class Machine(RuleBasedStateMachine):
    """The rules."""

    url: ClassVar[str]
    database: ClassVar[Database]
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        """Begin with an owner, two devices and two apps."""
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.world = self.stack.enter_context(World(self.url, folder))
        self.all = Ensemble(self.url, folder, self.database, self.world)
        self.snapshots: list[dict[str, Sequence[Row]]] = []
        self.texts = 0

    def teardown(self) -> None:
        """In the end everybody stands at the present."""
        try:
            for device in self.all.devices:
                self.all.honest(device, self._sync(device))
                self.all.is_present(device)
            for client in self.all.apps:
                self.all._read(client)
            Machine.tally.update(self.all.tally)
        finally:
            self.stack.close()

    # -- what can be done -------------------------------------------------------------------------

    def _text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    def _picked(self, number: int) -> str:
        known = sorted(self.all.model.memories)
        return known[number % len(known)] if known else ""

    def _grant(self, number: int, *states: str) -> str:
        grants = self.all.model.grants
        known = [name for name, share in grants.items() if share.state in states]
        return known[number % len(known)] if known else ""

    def _sync(self, device: Device, _number: int = 0) -> Step:
        return Step(device.vault.sync)

    def _remember(self, device: Device, _number: int) -> Step:
        text = self._text()

        def effect(model: Model, seen: Shown) -> None:
            model.write({found: name for name, found in seen.memories.items()}[text], text)

        return Step(lambda: device.vault.remember(text, tags=["t"]), (effect,))

    def _update(self, device: Device, number: int) -> Step:
        memory_id, text = self._picked(number), self._text()

        def act() -> Any:
            if not memory_id:
                return False
            device.vault.sync()
            return device.vault.update(memory_id, content=text)

        return Step(act, (lambda model, _: model.write(memory_id, text),))

    def _forget(self, device: Device, number: int) -> Step:
        memory_id = self._picked(number)

        def act() -> Any:
            if not memory_id:
                return False
            device.vault.sync()
            return device.vault.forget(memory_id)

        return Step(act, (lambda model, _: model.drop(memory_id),))

    def _accept(self, device: Device, number: int) -> Step:
        return self._decide(device, number, accept=True)

    def _reject(self, device: Device, number: int) -> Step:
        return self._decide(device, number, accept=False)

    def _decide(self, device: Device, number: int, *, accept: bool) -> Step:
        known = sorted(self.all.model.waiting.items())
        if not known:
            return Step(lambda: False)
        key, item = known[number % len(known)]

        def act() -> None:
            device.vault.sync()
            decide = device.vault.accept if accept else device.vault.reject
            decide(*key)

        if not accept:
            return Step(act, (lambda model, _: model.reject(key),))
        if item.text is None:
            return Step(act, (lambda model, _: model.accept(key),))

        def first(model: Model, _seen: Shown) -> None:
            model.accept(key)
            model.waiting[key] = item

        return Step(act, (first, lambda model, _: model.accept(key)))

    def _move(self, device: Device, grant: str, state: str) -> Step:
        def act() -> Any:
            if not grant:
                return False
            device.vault.sync()
            vault = device.vault
            how = {PAUSED: vault.pause, ACTIVE: vault.resume, REVOKED: vault.revoke}[state]
            return how(grant)

        return Step(act, (lambda model, _: model.move(grant, state),))

    def _pause(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, ACTIVE), PAUSED)

    def _resume(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, PAUSED), ACTIVE)

    def _revoke(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, ACTIVE, PAUSED), REVOKED)

    def _rotate(self, device: Device, _number: int) -> Step:
        return Step(
            lambda: (device.vault.sync(), device.vault.rotate()), (lambda model, _: model.rotate(),)
        )

    def _app_read(self, client: Client, _number: int) -> Step:
        access = client.access
        assert access is not None
        return Step(access.refresh, (), self.all.allowed(client))

    def _app_remember(self, client: Client, _number: int) -> Step:
        access, text = client.access, self._text()
        assert access is not None
        return Step(
            lambda: access.remember(text, tags=["t"]),
            (begun(client.grant, text),),
            self.all.allowed(client, "create"),
        )

    def _app_update(self, client: Client, number: int) -> Step:
        access, text = client.access, self._text()
        memory_id, refused = self._shared(client, number, "update")
        assert access is not None
        if not memory_id:
            return Step(lambda: False)
        return Step(
            lambda: access.update(memory_id, content=text), (begun(client.grant, text),), refused
        )

    def _app_forget(self, client: Client, number: int) -> Step:
        access = client.access
        memory_id, refused = self._shared(client, number, "delete")
        assert access is not None
        if not memory_id:
            return Step(lambda: False)
        return Step(lambda: access.forget(memory_id), (doomed(client.grant),), refused)

    def _shared(self, client: Client, number: int, scope: str) -> tuple[str, Any]:
        """A memory that an app may read, if there is one; and how it is refused more than that."""
        refused = self.all.allowed(client, scope)
        if self.all.allowed(client) is not None:
            return self._picked(number), refused
        assert client.access is not None
        known = sorted(
            item.id for item in client.access.memories() if item.review.status == "approved"
        )
        return known[number % len(known)] if known else "", refused

    OWNERS = (
        _sync,
        _remember,
        _update,
        _forget,
        _accept,
        _reject,
        _pause,
        _resume,
        _revoke,
        _rotate,
    )
    APPS = (_app_read, _app_remember, _app_update, _app_forget)

    def _step(self, who: int, what: int, number: int) -> tuple[Device | Client, Step] | None:
        """A step of one of the four: the devices are 0 and 1, the apps 2 and 3."""
        if who < 2:
            device = self.all.devices[who]
            return device, self.OWNERS[what % len(self.OWNERS)](self, device, number)
        client = self.all.apps[who - 2]
        if client.access is None:
            return None
        return client, self.APPS[what % len(self.APPS)](self, client, number)

    # -- honest -----------------------------------------------------------------------------------

    @rule(who=st.integers(0, 3), what=picks, number=picks)
    def step_too(self, who: int, what: int, number: int) -> None:
        """The same: half of what happens is honest."""
        self.step(who, what, number)

    @rule(who=st.integers(0, 3), what=picks, number=picks)
    def step(self, who: int, what: int, number: int) -> None:
        """Somebody does something, and the server does what it should."""
        chosen = self._step(who, what, number)
        if chosen is not None:
            self.all.honest(*chosen)

    @initialize(kinds=st.tuples(kinds, kinds))
    def shared(self, kinds: tuple[int, int]) -> None:
        """Both apps have a grant to begin with."""
        for app, kind in enumerate(kinds):
            self._share(self.all.devices[app], self.all.apps[app], kind)

    @precondition(lambda self: any(map(self._is_without, self.all.apps)))
    @rule(device=two, kind=kinds)
    def share(self, device: int, kind: int) -> None:
        """An app that has no grant asks for one, and gets it."""
        client = next(filter(self._is_without, self.all.apps))
        self._share(self.all.devices[device], client, kind)

    def _is_without(self, client: Client) -> bool:
        share = self.all.model.grants.get(client.grant)
        return share is None or share.state == REVOKED

    def _share(self, device: Device, client: Client, kind: int) -> None:
        terms, how = TERMS[kind]
        if "memories" in how:
            how = {"memories": sorted(self.all.model.memories)[: how["memories"]]}
        if how.get("memories") != []:
            self.all.share(device, client, terms, how)

    @rule(device=two, whole=st.booleans())
    def lock(self, device: int, whole: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """A device is locked and unlocked, or closed and opened; meanwhile it shows nothing."""
        chosen = self.all.devices[device]
        if whole:
            self.all.reopen(chosen)
            return
        any_memory = chosen.vault.status().memories > 0
        chosen.vault.lock()
        with pytest.raises(LockedError) if any_memory else nullcontext():
            assert list(chosen.vault.list()) == []
        self.all.unlock(chosen)

    @rule(who=st.integers(0, 3), number=numbers)
    def aside(self, who: int, number: int) -> None:
        """A request is sent once more by somebody on the way, and a copy of the database kept."""
        self.snapshots = [*self.snapshots[-2:], self.database.copy()]
        party = self.all.devices[who] if who < 2 else self.all.apps[who - 2]
        party.whim.again(number)
        self.all._adopt((), complete=True)

    # -- hostile ----------------------------------------------------------------------------------

    @rule(who=st.integers(0, 3), what=picks, number=picks, plan=plans)
    def misbehave(self, who: int, what: int, number: int, plan: Plan) -> None:
        """An answer to somebody is altered, old, lost, refused or made up."""
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        party, step = chosen
        party.whim.misbehave(plan)
        self.all.hostile(party, step)
        self.all.mend(party, step)

    @precondition(lambda self: self.snapshots)
    @rule(who=st.integers(0, 3), what=picks, number=picks, which=picks)
    def turn_back(self, who: int, what: int, number: int, which: int) -> None:
        """Somebody is served an older state of the whole database: a rollback, or a fork."""
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        with self.all.turned(self.snapshots[which % len(self.snapshots)]):
            self.all.hostile(*chosen)
        self.all.mend(*chosen)

    @rule(who=st.integers(0, 3), what=picks, number=picks, row=numbers, column=numbers, how=numbers)
    def tamper(self, who: int, what: int, number: int, row: int, column: int, how: int) -> None:
        """Somebody is served a database in which a field of the log is another."""
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        try:
            with self.all.turned({"entries": self._tampered(row, column, how)}):
                self.all.hostile(*chosen)
        except sqlite3.IntegrityError:
            return
        self.all.mend(*chosen)

    def _tampered(self, row: int, column: int, how: int) -> list[Row]:
        rows = self.database.rows("entries")
        account = self.all.witness._state.account_id
        mine = [number for number, found in enumerate(rows) if found["account_id"] == account]
        at = mine[row % len(mine)]
        name = ("record", "leaf", "version", "status", "key_number", "record_seq")[column % 6]
        others = [rows[number][name] for number in mine if rows[number][name] != rows[at][name]]
        values = [*others, *alterations(rows[at][name])]
        rows[at] = {**rows[at], name: values[how % len(values)]}
        return rows

    # -- always -----------------------------------------------------------------------------------

    @invariant()
    def devices_show_what_was(self) -> None:
        """Nothing is invented, and nothing goes back."""
        for device in self.all.devices:
            self.all.is_no_invention(device)

    @invariant()
    def what_was_kept_opens_nothing_new(self) -> None:
        """After a revocation, what was kept is of no use for what follows."""
        self.all.nothing_kept_opens_what_came_after()


def run(examples: int, steps: int, *, derandomize: bool) -> None:
    """Run the machine on a server of its own."""
    bounds = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=derandomize,
        database=None,
        phases=(Phase.generate,),  # to shrink would take longer than to look again
        suppress_health_check=list(HealthCheck),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(f"sqlite:///{folder}/server.db") as server,
        patch("coffret.transport._TRIES", 1),
    ):
        Machine.url, Machine.database = server.url, Database(Path(folder) / "server.db")
        Machine.tally.clear()
        try:
            run_state_machine_as_test(Machine, settings=bounds)
        finally:
            Machine.database.close()


@pytest.mark.attack(5, 16, 17, 18, 19, 38)
def test_whatever_the_server_does_it_is_refused_or_makes_no_difference() -> None:
    """Random histories with a hostile server: never an invented state, never another error."""
    run(EXAMPLES, STEPS, derandomize=not LONGER)
    print(dict(Machine.tally))  # noqa: T201 - the sweep's count
    assert Machine.tally["hostile"] > EXAMPLES
