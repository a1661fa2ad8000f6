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
from collections import Counter
from contextlib import ExitStack, nullcontext, suppress
from datetime import timedelta
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
from harness.ensemble import Ensemble
from harness.keeping import keeping_keys
from harness.memory import folder_in_memory
from harness.parties import Client, Device, Step
from harness.reference import OVER, Model, Shown
from harness.steps import Steps
from harness.whims import WHIMS, Plan
from harness.world import Clock, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.database import Row

ORDINARY = "50x25"
EXAMPLES, STEPS = (int(part) for part in os.environ.get("COFFRET_MACHINE", ORDINARY).split("x"))
LONGER = "COFFRET_MACHINE" in os.environ

two = st.sampled_from([0, 1])
picks = st.integers(0, len(Steps.OWNERS) - 1)
numbers = st.integers(0, 1 << 20)
kinds = st.sampled_from((5, 0, 6, 1, 7, 2, 5, 3, 6, 4))
lengths = st.sampled_from((1, 3, 20, 20))
plans = st.builds(Plan, st.sampled_from(WHIMS), st.sampled_from((0, 0, 0, 1, 2)), numbers, numbers)
COLUMNS = ("leaf", "record", "leaf", "record", "version", "status", "key_number", "record_seq")
ALL = ("read", "create", "update", "delete")
TERMS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"scopes": ALL, "standing": True}, {"standing": True}),
    ({"scopes": ALL}, {}),
    ({"scopes": ALL}, {"scopes": ["read", "create"]}),
    ({"scopes": ALL}, {"memories": 1}),
    ({"scopes": ["create"]}, {}),
    ({"scopes": ALL, "standing": True}, {"standing": True, "auto_accept": True}),
    ({"scopes": ALL}, {"auto_accept": True}),
    ({"scopes": ["create"]}, {"auto_accept": True}),
)
"""What is asked and what is left of it in the approval; ``memories`` is how many."""


def _nothing(_model: Model, _seen: Shown) -> None:
    """The effect of what is written in another history."""


class Machine(Steps, RuleBasedStateMachine):
    """The rules."""

    url: ClassVar[str]
    database: ClassVar[Database]
    empty: ClassVar[dict[str, Sequence[Row]]]
    clock: ClassVar[Clock]
    """Everybody's, and it never goes back: the server lives longer than a history."""
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        """Begin with an owner, two devices and two apps."""
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(folder_in_memory())
        self.world = self.stack.enter_context(World(self.url, folder))
        self.world.clock = self.clock
        self.all = Ensemble(self.url, folder, self.database, self.world)
        self.snapshots: list[dict[str, Sequence[Row]]] = []

    def teardown(self) -> None:
        """In the end everybody stands at the present."""
        try:
            for device in (self.all.guide, *self.all.devices):
                self.all.honest(device, self._sync(device))
                self.all.is_present(device)
            for client in self.all.apps:
                self.all._read(client)
            Machine.tally.update(self.all.tally)
        finally:
            self.stack.close()
            self.database.write(self.empty)  # each history is copied often, and ends here

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

    @initialize(kinds=st.just(()) | st.tuples(kinds, kinds), days=lengths)
    def shared(self, kinds: Sequence[int], days: int) -> None:
        """Both apps have a grant to begin with, or nobody has."""
        for app, kind in enumerate(kinds):
            self._share(self.all.devices[app], self.all.apps[app], kind, days)

    @precondition(lambda self: any(map(self._is_without, self.all.apps)))
    @rule(device=two, kind=kinds, days=lengths)
    def share(self, device: int, kind: int, days: int) -> None:
        """An app that has no grant asks for one, and gets it."""
        client = next(filter(self._is_without, self.all.apps))
        self._share(self.all.devices[device], client, kind, days)

    def _is_without(self, client: Client) -> bool:
        return not client.grant or self.all.model.stands(client.grant) in OVER

    def _share(self, device: Device, client: Client, kind: int, days: int) -> None:
        terms, how = TERMS[kind]
        if "memories" in how:
            how = {"memories": sorted(self.all.model.memories)[: how["memories"]]}
        if how.get("memories") != []:
            self.all.share(device, client, terms, how, days)

    @rule(device=two)
    def pause_unread(self, device: int) -> None:
        """A grant is paused before what its app wrote was read: that waits, whatever was chosen."""
        chosen = self.all.devices[device]
        self.all.honest(chosen, self._sync(chosen))
        for client in self.all.apps:
            if self._is_without(client) or self.all.allowed(client, "create") is not None:
                continue
            self.all.honest(client, self._app_remember(client, 0))
            self.all.honest(chosen, self._pause_unread(chosen, client.grant))
            self.all.honest(chosen, self._sync(chosen))

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

    @rule(days=st.sampled_from((1, 1, 1, 2, 2, 31)))
    def later(self, days: int) -> None:
        """Days pass: grants come to their end, and after a month every session."""
        self.all.pass_days(days)

    @rule(who=st.integers(0, 3), minutes=st.sampled_from((-300, -5, 0, 4)))
    def set_watch(self, who: int, minutes: int) -> None:
        """Somebody's clock goes wrong, or right again; nothing else comes of it."""
        party = self.all.devices[who] if who < 2 else self.all.apps[who - 2]
        party.watch.offset = timedelta(minutes=minutes)

    # -- hostile ----------------------------------------------------------------------------------

    @rule(who=st.integers(0, 3), what=picks, number=picks, plan=plans)
    def misbehave(self, who: int, what: int, number: int, plan: Plan) -> None:
        """An answer to somebody is altered, old, lost, refused or made up."""
        self._news(number)
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        party, step = chosen
        party.whim.misbehave(plan)
        self.all.hostile(party, step)
        self.all.mend(party, step)

    @rule(device=two, whole=st.booleans(), kind=kinds, plan=plans | st.none())
    def new_secrets(self, device: int, whole: bool, kind: int, plan: Plan | None) -> None:  # noqa: FBT001 - drawn by hypothesis
        """The passphrase or every key is changed, while the server is honest or is not."""
        chosen = self.all.devices[device]
        if kind > 3:  # so that there is what it ends; and else its own is all that ends keys
            for client in filter(self._is_without, self.all.apps):
                self._share(chosen, client, kind, 20)
        self.all.catch_up(chosen)
        step = (self._change_keys if whole else self._change_passphrase)(chosen, 0)
        if plan is None:
            self.all.honest(chosen, step)
            return
        later = Plan(plan.whim, plan.turn + plan.how % 4, plan.where, plan.how)
        chosen.whim.misbehave(later)
        self.all.hostile(chosen, step)
        self.all.mend(chosen, step)

    def _news(self, number: int) -> None:
        """Another device writes, so that there is something new to be lied about."""
        guide = self.all.guide
        self.all.honest(guide, (self._remember, self._update)[number % 2](guide, number // 2))

    @precondition(lambda self: self.snapshots)
    @rule(who=st.integers(0, 3), what=picks, number=picks, which=picks, seen=st.booleans())
    def turn_back(self, who: int, what: int, number: int, which: int, seen: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Somebody is served an older state of the whole database: a rollback, or a fork."""
        self._news(number)
        if seen and who < 2:
            self.all.honest(self.all.devices[who], self._sync(self.all.devices[who]))
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        with self.all.turned(self.snapshots[which % len(self.snapshots)]):
            self.all.hostile(*chosen)
        self.all.mend(*chosen)

    @rule(who=st.integers(0, 3), what=picks, number=picks, row=numbers, column=numbers, how=numbers)
    def tamper(self, who: int, what: int, number: int, row: int, column: int, how: int) -> None:
        """Somebody is served a database in which a field of the log is another."""
        self._news(number)
        chosen = self._step(who, what, number)
        if chosen is None:
            return
        try:
            with self.all.turned({"entries": self._tampered(row, column, how)}):
                self.all.hostile(*chosen)
        except sqlite3.IntegrityError:
            return
        self.all.mend(*chosen)

    @rule(device=two, row=numbers, column=numbers, how=numbers)
    def enter(self, device: int, row: int, column: int, how: int) -> None:
        """A new device is served a database in which a field of the log is another."""
        with suppress(sqlite3.IntegrityError):
            self.all.enter(device, {"entries": self._tampered(row, column, how)}, None)

    @rule(device=two, plan=plans)
    def enter_badly(self, device: int, plan: Plan) -> None:
        """A new device is answered badly, once."""
        later = Plan(plan.whim, plan.turn + 2 * (plan.how % 2), plan.where, plan.how)
        self.all.enter(device, {}, later)

    @rule(device=two, number=picks)
    def mingle(self, device: int, number: int) -> None:
        """A device writes in another history, whose records a new one is served in this."""
        writer, memory_id = self.all.devices[device], self._picked(number)
        snapshot = self.database.copy()
        if not memory_id:
            return
        self.all.honest(writer, self._sync(writer))
        self.all.honest(self.all.guide, self._update(self.all.guide, number))
        step = Step(lambda: writer.vault.update(memory_id, content=self._text()), (_nothing,))
        with self.all.turned(snapshot):
            self.all.hostile(writer, step)
        self.all.mend(writer, step)
        rows = self.database.rows("entries")
        for row in rows:
            stray = self.all.strays.get((row["subject"], row["version"]))
            row["record"] = stray or row["record"]
        self.all.enter(device, {"entries": rows}, None)

    def _tampered(self, row: int, column: int, how: int) -> list[Row]:
        rows = self.database.rows("entries")
        account = self.all.witness._state.account_id
        mine = [number for number, found in enumerate(rows) if found["account_id"] == account]
        at = mine[row % len(mine)]
        name = COLUMNS[column % len(COLUMNS)]
        others = [rows[number][name] for number in mine if rows[number][name] != rows[at][name]]
        values = [*others, *alterations(rows[at][name])]
        kind, how = how % 2, how // 2
        if kind and isinstance(rows[at][name], bytes):
            changed = bytearray(rows[at][name])
            changed[-1 - how % min(len(changed), 12)] ^= 1 << how % 8
            values = [bytes(changed)]
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
    clock = Clock()
    with (
        folder_in_memory() as folder,
        Server(f"sqlite:///{folder}/server.db", clock=clock.now) as server,
        patch("coffret.transport._TRIES", 1),  # nobody waits, so nobody is asked to:
        patch("coffret_server.quiet.SECONDS", 0.0),
    ):
        Machine.url, Machine.clock = server.url, clock
        Machine.database = Database(folder / "server.db")
        Machine.empty = Machine.database.copy()
        Machine.tally.clear()
        try:
            run_state_machine_as_test(Machine, settings=bounds)
        finally:
            Machine.database.close()


@pytest.mark.attack(5, 16, 17, 18, 19, 38)
def test_whatever_the_server_does_it_is_refused_or_makes_no_difference(
    show: Callable[[str], None],
) -> None:
    """Random histories with a hostile server: never an invented state, never another error."""
    run(EXAMPLES, STEPS, derandomize=not LONGER)
    show(f"histories: {dict(Machine.tally)}")
    assert Machine.tally["hostile"] > EXAMPLES


@pytest.mark.control(38)
def test_a_device_that_keeps_keys_in_use_is_found() -> None:
    """Control: where nothing gets a fresh key, in some history what was kept opens what is new."""
    with (
        keeping_keys(),
        pytest.raises(pytest.fail.Exception, match="DID NOT RAISE OpenError"),
    ):
        run(50, 25, derandomize=True)
