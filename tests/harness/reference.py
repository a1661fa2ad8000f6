"""What a vault should hold, in dictionaries: no log, no keys, no server."""

from __future__ import annotations

from dataclasses import dataclass, field

ACTIVE, PAUSED, REVOKED, ENDED = "active", "paused", "revoked", "ended"
OVER = frozenset((REVOKED, ENDED))


@dataclass(frozen=True)
class Waiting:
    """What an app proposed: a text, or a deletion (None); when it was sealed; under which grant."""

    app: int
    text: str | None
    sealed: int
    grant: str = ""


@dataclass
class Share:
    """A grant: whose, for what, and how it stands.

    Attributes:
        app: the number of the app.
        scopes: what it may do.
        standing: whether what is written later is shared too.
        held: what was shared when it was approved, and what was since because it is standing.
        ends: the day on which its time is over.
        auto: whether what the app writes needs no review.
        state: active, paused or revoked; what it is by the day, :meth:`on` says.
        own: the memories that the app began under it.
    """

    app: int
    scopes: frozenset[str]
    standing: bool
    held: set[str]
    ends: int
    auto: bool = False
    state: str = ACTIVE
    own: set[str] = field(default_factory=set)

    def on(self, day: int) -> str:
        """How it stands on a day."""
        return ENDED if self.state != REVOKED and self.ends <= day else self.state


@dataclass(frozen=True)
class Shown:
    """What a device shows: memories by id, what waits by id and version, and grants' states."""

    memories: dict[str, str]
    waiting: dict[tuple[str, int], str | None]
    grants: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass
class Model:
    """The vault; ``now`` counts the steps, and ``sealed`` says at which a memory was written."""

    now: int = 0
    day: int = 0
    memories: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, int] = field(default_factory=dict)
    waiting: dict[tuple[str, int], Waiting] = field(default_factory=dict)
    grants: dict[str, Share] = field(default_factory=dict)
    proposed: dict[int, set[tuple[str, str]]] = field(default_factory=dict)
    revoked_at: int = -1

    def shown(self) -> Shown:
        """What a device shows that has caught up."""
        waiting = {key: item.text for key, item in self.waiting.items()}
        grants = {name: self.stands(name) for name in self.grants}
        return Shown(dict(self.memories), waiting, grants)

    def stands(self, grant: str) -> str:
        """How a grant stands today."""
        return self.grants[grant].on(self.day)

    def write(self, memory_id: str, text: str) -> None:
        """The owner writes a memory, or its next version."""
        self._put(memory_id, text, self.now)
        for share in self.grants.values():
            active = share.on(self.day) == ACTIVE
            if share.standing and active and "read" in share.scopes:
                share.held.add(memory_id)

    def _put(self, memory_id: str, text: str, sealed: int) -> None:
        self.memories[memory_id], self.sealed[memory_id] = text, sealed

    def drop(self, memory_id: str) -> None:
        """A memory is gone, with all that waits for it."""
        self.memories.pop(memory_id, None)
        self.sealed.pop(memory_id, None)
        for key in [key for key in self.waiting if key[0] == memory_id]:
            del self.waiting[key]

    def propose(self, grant: str, memory_id: str, version: int, text: str | None) -> None:
        """An app writes, or proposes to delete."""
        share = self.grants[grant]
        self.waiting[memory_id, version] = Waiting(share.app, text, self.now, grant)
        if text is not None:
            self.proposed.setdefault(share.app, set()).add((memory_id, text))
        if memory_id not in self.memories:
            share.own.add(memory_id)

    def accept(self, key: tuple[str, int]) -> None:
        """What waits becomes what counts."""
        item = self.waiting.pop(key)
        if item.text is None:
            self.drop(key[0])
        else:
            self._put(key[0], item.text, item.sealed)

    def reject(self, key: tuple[str, int]) -> None:
        """What waits is turned down."""
        del self.waiting[key]

    def move(self, grant: str, state: str) -> None:
        """A grant is paused, resumed or revoked."""
        self.grants[grant].state = state
        if state == REVOKED:
            self.revoked_at = self.now

    def pass_days(self, days: int) -> None:
        """Time passes, and grants end by it."""
        before = {name: self.stands(name) for name in self.grants}
        self.day += days
        if any(self.stands(name) == ENDED != state for name, state in before.items()):
            self.revoked_at = self.now

    def change_keys(self) -> None:
        """Every key is another, and every grant is over."""
        for share in self.grants.values():
            share.state = REVOKED
        self.revoked_at = self.now

    def may_be_accepted_unseen(self, key: tuple[str, int]) -> bool:
        """Whether the owner chose that what waits there needs no review."""
        item = self.waiting[key]
        share = self.grants[item.grant]
        if not share.auto or item.text is None or share.on(self.day) != ACTIVE:
            return False
        if key[1] == 1:
            return "create" in share.scopes
        known = share.standing or key[0] in share.held | share.own
        return known and "update" in share.scopes

    def overdue(self) -> set[tuple[str, int]]:
        """What a device would have accepted that synced now: new memories that need no review."""
        return {key for key in self.waiting if key[1] == 1 and self.may_be_accepted_unseen(key)}

    def rotate(self) -> None:
        """Everything that somebody may know who is revoked gets a fresh key."""
        for memory_id, sealed in self.sealed.items():
            self.sealed[memory_id] = self.now if sealed <= self.revoked_at else sealed

    def readable(self, grant: str) -> set[tuple[str, str]]:
        """Which memories, with their texts, an app may read as accepted under a grant."""
        share = self.grants[grant]
        if share.on(self.day) != ACTIVE or "read" not in share.scopes:
            return set()
        may = share.held | share.own
        every = share.standing
        return {item for item in self.memories.items() if every or item[0] in may}
