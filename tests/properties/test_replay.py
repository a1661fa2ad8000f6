"""Replay of the log against a plain model that looks at all entries each time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from coffret_vault.errors import TrustError
from coffret_vault.formats.entry import Entry
from coffret_vault.log.replay import NEW, MemoryState, advance
from harness.logs import APP, digest, entry

OTHER_APP = b"q" * 16


@dataclass
class Plain:
    """What a list of entries about one memory comes to, found by going through all of them."""

    entries: list[Entry]

    @property
    def versions(self) -> list[Entry]:
        """Every put and delete."""
        return [item for item in self.entries if item.kind in {"put", "delete"}]

    def decisions(self, kind: str) -> set[int]:
        """The versions that were accepted, or rejected."""
        return {item.version for item in self.entries if item.kind == kind}

    @property
    def deleted(self) -> bool:
        """Whether a deletion took effect."""
        accepted = self.decisions("accept")
        return any(
            item.kind == "delete" and (item.author.is_owner or item.version in accepted)
            for item in self.versions
        )

    @property
    def current(self) -> int:
        """The highest version that took effect."""
        if self.deleted:
            return 0
        accepted = self.decisions("accept")
        effective = [
            item.version
            for item in self.versions
            if item.kind == "put" and (item.author.is_owner or item.version in accepted)
        ]
        return max(effective, default=0)

    def undecided(self) -> dict[int, Entry]:
        """The versions by apps that wait."""
        if self.deleted:
            return {}
        decided = self.decisions("accept") | self.decisions("reject")
        return {
            item.version: item
            for item in self.versions
            if not item.author.is_owner and item.version not in decided
        }

    def allows(self, item: Entry) -> bool:
        """Whether an entry may follow."""
        if self.deleted:
            return False
        if item.kind in {"accept", "reject"}:
            meant = self.undecided().get(item.version)
            fits = meant is not None and meant.digest == item.digest
            late = meant is not None and meant.kind == "put" and item.version < self.current
            return fits and not (item.kind == "accept" and late)
        if item.version != len(self.versions) + 1:
            return False
        if item.kind == "put":
            return True
        newest = self.versions[-1].digest if self.versions else b""
        return item.digest == newest


def check(state: MemoryState, plain: Plain) -> None:
    """Both say the same."""
    assert state.deleted == plain.deleted
    assert state.current == plain.current
    assert state.newest == len(plain.versions)
    assert {item.version for item in state.pending} == set(plain.undecided())
    if plain.current:
        by_version = {item.version: item for item in plain.versions}
        assert state.digest == by_version[plain.current].digest
    for proposal in state.pending:
        made = plain.undecided()[proposal.version]
        assert (proposal.digest, proposal.app_id, proposal.deletion) == (
            made.digest, made.author.app_id, made.kind == "delete",
        )  # fmt: skip
        assert plain.entries[proposal.leaf] is made


steps = st.tuples(
    st.sampled_from(["put", "put", "delete", "accept", "reject"]),
    st.integers(min_value=-2, max_value=1),
    st.sampled_from([None, None, APP, OTHER_APP]),
    st.booleans(),
)


@given(st.lists(steps, max_size=24))
def test_replay_agrees_with_a_plain_model(
    made: list[tuple[str, int, bytes | None, bool]],
) -> None:
    """Each entry is refused by both or taken by both, and both stand alike after it."""
    state, plain = NEW, Plain([])
    for kind, back, app, honest in made:
        item = _entry(plain, kind, back, app, honest=honest)
        allowed = plain.allows(item)
        try:
            moved = advance(state, item, len(plain.entries))
        except TrustError:
            assert not allowed
            continue
        assert allowed
        state = moved
        plain.entries.append(item)
        check(state, plain)


def _entry(plain: Plain, kind: str, back: int, app: bytes | None, *, honest: bool) -> Entry:
    """An entry that fits, or nearly."""
    count = len(plain.versions)
    if kind in {"accept", "reject"}:
        waiting = plain.undecided()
        version = max(1, (max(waiting) if waiting else count) + min(back, 0))
        named = waiting[version].digest if honest and version in waiting else digest(back % 5)
        return _with(entry(kind, version), named)
    version = max(1, count + 1 + (0 if honest else back))
    if kind == "delete":
        newest = plain.versions[-1].digest if honest and plain.versions else digest(99)
        return _with(entry(kind, version, app=app), newest)
    return entry(kind, version, 100 + count, app=app)


def _with(item: Entry, named: bytes) -> Entry:
    return Entry(
        item.account_id, item.kind, item.subject, item.version, named, item.author, item.time
    )
