"""Look at changes that waited on this device and were given up, and let go of them."""

from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.desk import desk_of
from coffret.cli.options import Json
from coffret.cli.showing import changes, day, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.unkept import Unkept

_WHY = {
    "waiting": "not answered yet; it is sent again with the next command that reaches the server",
    "not-sent": "not sent yet; it goes out with the next coffret sync or remember",
    "overtaken": "another device had written before it arrived",
    "keys-changed": "the keys were changed before it arrived",
}
_WHAT = {
    "put": "write the memory",
    "delete": "delete the memory",
    "accept": "accept what an app wrote to the memory",
    "reject": "reject what an app wrote to the memory",
    "grant": "approve the grant",
    "pause": "pause the grant",
    "resume": "resume the grant",
    "revoke": "revoke the grant",
    "keyslot": "add the keyslot",
    "keyslot-remove": "remove the keyslot",
    "settings": "settle the settings of the account",
}
_SHOWN = 20


def unkept(
    context: typer.Context,
    which: Annotated[
        str | None, typer.Argument(metavar="CHANGE", help="Only this one, by its number or id.")
    ] = None,
    *,
    forget: Annotated[
        bool, typer.Option("--forget", help="Let go of it, or of all that were given up.")
    ] = False,
    json: Json = False,
) -> None:
    """Show changes that were not kept, or not yet, with what they would say.

    A change whose answer was lost waits on this device, and so do memories that were said while
    the server was away. Where another device writes first, or the server refuses one, it is given
    up, and is here. Make it again if you still want it.
    """
    desk = desk_of(context, as_json=json)
    vault = desk.vault()
    if forget:
        count = vault.forget_unkept(which)
        desk.out.done(f"Let go of {changes(count)}.", {"forgotten": count})
        return
    found = [item for item in vault.unkept() if which in {None, item.id}]
    if desk.out.as_json:
        desk.out.data(found)
        return
    if not found:
        desk.out.line("No change waits on this device, and none that did was given up.")
    for item in found:
        for line in _lines(item):
            desk.out.line(line)


def _lines(item: "Unkept") -> "Iterator[str]":
    why = _WHY.get(item.why, f"the server refused it ({item.why})")
    if not item.entries:
        why += "; what it was cannot be read any more, nor whether it arrived"
    yield f"{item.id}. {day(item.at) + ': ' if item.at else ''}{why}."
    for entry in item.entries[:_SHOWN]:
        yield f"   It would {_WHAT.get(entry.kind, entry.kind)} {entry.subject}."
    if len(item.entries) > _SHOWN:
        yield f"   And {len(item.entries) - _SHOWN} more; --json has all of them."
    for memory in item.memories:
        yield f"--- {one_line(memory.title) or memory.id}"
        yield memory.content
