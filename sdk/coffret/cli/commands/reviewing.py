"""Decide on what apps wrote."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from coffret.cli.desk import desk_of
from coffret.cli.options import Json, MemoryId, Offline
from coffret.cli.proposed import proposal_lines
from coffret.cli.showing import pending_rows
from coffret_vault.errors import CoffretError, ConflictError

if TYPE_CHECKING:
    from coffret.cli.desk import Desk
    from coffret.vault import Vault

Version = Annotated[
    int | None, typer.Option("--version", help="Which version: to be said when several wait.")
]
_CHANGED = "the memory was changed in between; look at it again"


def pending(
    context: typer.Context,
    memory: Annotated[
        str | None, typer.Argument(metavar="[MEMORY]", help="Show what waits of this one, whole.")
    ] = None,
    *,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """List what apps wrote and you have not decided."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault() if offline else desk.synced()
    found = vault.pending()
    if memory is not None:
        identifier = desk.memory_id(vault, memory)
        found = [item for item in found if item.memory_id == identifier]
    if desk.out.as_json:
        desk.out.data(found)
        return
    apps = {grant.app.app_id: grant.app.name for grant in vault.grants()}
    if memory is not None:
        for item in found:
            for line in proposal_lines(item, apps.get(item.app_id, item.app_id)):
                desk.out.line(line)
        if not found:
            desk.out.note("Nothing of this memory waits for you.")
        return
    titles = ("ID", "VERSION", "APP", "WANTS TO", "WHAT")
    desk.out.table(titles, pending_rows(found, apps))
    if not found:
        desk.out.note("Nothing waits for you.")


def accept(
    context: typer.Context, memory: MemoryId, *, version: Version = None, json: Json = False
) -> None:
    """Make what an app wrote current."""
    desk = desk_of(context, as_json=json)
    found = _synced(desk, memory)
    found.check_waited(version)
    found.check_beside(version)
    accepted = found.vault.accept(found.memory_id, version)
    text = "Accepted." if accepted else "Accepted: it is deleted."
    desk.out.done(text, {"memory_id": found.memory_id, "memory": accepted})


def reject(
    context: typer.Context, memory: MemoryId, *, version: Version = None, json: Json = False
) -> None:
    """Turn down what an app wrote."""
    desk = desk_of(context, as_json=json)
    found = _synced(desk, memory)
    found.check_waited(version)
    new = not all(found.after.values())
    found.vault.reject(found.memory_id, version)
    text = "Rejected: it was not taken in." if new else "Rejected; the memory is as it was."
    desk.out.done(text, {"memory_id": found.memory_id})


class _Found(NamedTuple):
    """What waited of one memory before a sync, and after: versions, and what each stood beside.

    ``before`` is None where it could not be listed, as where a record of any memory had not come:
    that nobody looked at.
    """

    vault: "Vault"
    memory_id: str
    before: dict[int, int] | None
    after: dict[int, int]

    def check_waited(self, version: int | None) -> None:
        """Decide on nothing that this command is the first to bring here, in the place of another.

        Where no version is named, that is another one than waited here.

        Raises:
            ConflictError: something else waits.
        """
        had = self.before
        if had is not None and (version is not None or not had):
            return  # it is named; or nothing waited here: it was looked at elsewhere
        if self._meant(version).keys() - (had or {}).keys():
            raise ConflictError(_CHANGED)

    def check_beside(self, version: int | None) -> None:
        """Accept nothing in the place of what this command is the first to bring here.

        It was looked at beside what was here. A server chooses when it shows what another device
        wrote. So nothing that comes only now, together with what overtook it.

        Raises:
            ConflictError: something else is current now.
        """
        for meant, now in self._meant(version).items():
            # What overtook it, nobody saw beside it here.
            if (self.before or {}).get(meant, min(now, meant)) != now:
                raise ConflictError(_CHANGED)

    def _meant(self, version: int | None) -> dict[int, int]:
        return {meant: now for meant, now in self.after.items() if version in {None, meant}}


def _synced(desk: "Desk", memory: str) -> _Found:
    """Bring this device up to date, and say what waited of a memory before that.

    Raises:
        ConflictError: what waited here by the end of an id is decided; it is another one's now.
    """
    vault, before = desk.vault(), None
    with suppress(CoffretError):  # what is wrong with the store, the sync says, or mends
        before = _standing(vault)
    identifier = desk.memory_id(desk.sync(vault), memory)
    if before is not None:
        _check_same_id(memory, identifier, before)
    after = _standing(vault)
    mine = None if before is None else _of(before, identifier)
    return _Found(vault, identifier, mine, _of(after, identifier))


def _of(standing: dict[tuple[str, int], int], memory_id: str) -> dict[int, int]:
    return {version: now for (name, version), now in standing.items() if name == memory_id}


def _standing(vault: "Vault") -> dict[tuple[str, int], int]:
    """Beside which version each of those stands that wait here, 0 where an app created it."""
    return {
        (item.memory_id, item.version): item.current.version if item.current else 0
        for item in vault.pending()
    }


def _check_same_id(text: str, memory_id: str, before: dict[tuple[str, int], int]) -> None:
    """Take an id that was given by its end for what waited here by that: apps choose their ids.

    Raises:
        ConflictError: that is decided, and it is the end of another one now.
    """
    ended = {key[0] for key in before if key[0].endswith(text.strip().lower())}
    if ended and memory_id not in ended:
        raise ConflictError(_CHANGED)
