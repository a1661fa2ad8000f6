"""Remember a conversation from its messages, as an app: each exchange is a proposal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from coffret.flows.access import check_scope, read_all, update
from coffret.flows.creating import create_unseen
from coffret.flows.owners import check_live
from coffret.flows.sync import silent
from coffret.messages import Fate, Planned, exchanges_of, grown, plan_of, report_of
from coffret_vault.formats.layout import id_text
from coffret_vault.grants.apps import messages_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret.flows.readable import Readable
    from coffret.flows.sync import Progress
    from coffret.messages import MessagesReport
    from coffret_vault.ingest.messages import Read
    from coffret_vault.records.memory import Memory

    Shown = Mapping[str, Readable]


def propose_messages(
    state: AppState,
    held: Held,
    read: Read,
    progress: Progress = silent,
    *,
    sealed: bool | None = None,
) -> Flow[MessagesReport]:
    """Write the exchanges that are not there yet, and what has come behind the last one.

    Raises:
        GrantError: the grant does not include ``create``, or ``update`` where an exchange that is
            there has grown; or it is not in force. Nothing is written.
        InputError: one of them cannot be a memory. Nothing is written.
        ConflictError: another process of the app adds to the same exchange; called again, it goes
            on.
        QuotaError: the owner's vault takes no more from apps now; what was written stays.
    """
    check_live(state, held)
    key = messages_key(state.file.seeds, held.grant.account_id, held.username)
    items = exchanges_of(key, read, sealed=sealed)
    shown: Shown = yield from read_all(state, held)
    plan = plan_of(partial(_there, shown), items)
    for fate, scope in ((Fate.CREATE, "create"), (Fate.GROW, "update")):
        if any(planned.fate is fate for planned in plan):
            check_scope(held, scope)
    new = [planned.item for planned in plan if planned.fate is Fate.CREATE]
    memories = [item.new(sealed=sealed) for item in new]
    made = (yield from create_unseen(state, held, memories, progress)) if new else []
    written = {item.id: memory for item, memory in zip(new, made, strict=True)}
    for planned in plan:
        if planned.fate is Fate.GROW and planned.there is not None:
            known, change = shown[planned.there.id], partial(grown, planned.item)
            written[planned.item.id] = yield from update(state, held, known, change)
    if None in made:  # forgotten; or another process of this app was quicker
        shown = yield from read_all(state, held)
        plan = [_once_more(shown, each) if _is_unseen(written, each) else each for each in plan]
    return report_of(read, plan, [written.get(each.item.id) or each.there for each in plan])


def _is_unseen(written: Mapping[bytes, Memory | None], planned: Planned) -> bool:
    return planned.fate is Fate.CREATE and written[planned.item.id] is None


def _once_more(shown: Shown, planned: Planned) -> Planned:
    there = _there(shown, planned.item.id)
    if there is None or there is Fate.FORGOTTEN:
        return Planned(planned.item, Fate.FORGOTTEN)
    return Planned(planned.item, Fate.KEEP, there)


def _there(shown: Shown, identifier: bytes) -> Memory | Literal[Fate.FORGOTTEN] | None:
    """What the grant shows by an id."""
    known = shown.get(id_text(identifier))
    if known is None:
        return None
    return Fate.FORGOTTEN if known.key is None else known.memory
