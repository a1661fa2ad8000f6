"""Search, on this device."""

from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.options import (
    AllTags,
    AnyTags,
    Authors,
    From,
    Json,
    Least,
    Limit,
    Matching,
    Mode,
    Question,
    Similar,
    Since,
    Types,
    Until,
    ValidOn,
    WithLabels,
    WithMetadata,
    narrowed,
)
from coffret.cli.showing import found_lines, hit_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.finding import Found


Timed = Annotated[bool, typer.Option("--time", help="Show how long each step took.")]


_WAITS = "Waiting on this device for the server, and looked through for words alone:"


class Steps:
    """How long each step took, in seconds."""

    def __init__(self) -> None:
        """Begin now."""
        self.seconds: dict[str, float] = {}
        self._since = perf_counter()

    def end(self, name: str) -> None:
        """A step has ended."""
        now = perf_counter()
        self.seconds[name] = now - self._since
        self._since = now


def search(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    question: Question,
    *,
    tag: AllTags = None,
    any_tag: AnyTags = None,
    kind: Types = None,
    author: Authors = None,
    label: WithLabels = None,
    metadata: WithMetadata = None,
    importance: Least = None,
    since: Since = None,
    until: Until = None,
    source: From = None,
    valid_on: ValidOn = None,
    limit: Limit = 10,
    mode: Matching = Mode.FUSED,
    min_similarity: Similar = None,
    time: Timed = False,
    json: Json = False,
) -> None:
    """Search your memories by meaning and by words. Nothing leaves this device."""
    from coffret.arguments import asked  # noqa: PLC0415 - loads ciphers: not to show help

    desk = desk_of(context, as_json=json)
    wanted = narrowed(
        tag, any_tag, kind, author, label, metadata, importance, since, until, source, valid_on
    )
    wanted |= {"limit": limit, "mode": mode.value, "min_similarity": min_similarity}
    asked(question, wanted)  # what is wrong is said before the passphrase is asked for
    steps = Steps()
    vault = desk.vault()
    steps.end("unlock")
    with desk.out.progress() as progress:
        if mode is not Mode.WORDS:  # which may do without
            vault.index(progress)
        steps.end("index")
        waits = vault.search_waiting(question, **wanted)  # before the others, as in a list
        found = vault.search(question, progress, **wanted)
    steps.end("search")
    if vault.search_notice:
        desk.out.note(vault.search_notice)
    there = {hit.memory.id for hit in found}
    waits = [hit for hit in waits if hit.memory.id not in there]
    print_found(desk, found, steps if time else None, waits)
    desk.tell_waiting(vault)


def print_found(
    desk: Desk, found: "Sequence[Found]", steps: Steps | None, waits: "Sequence[Found]" = ()
) -> None:
    """Hits, best first, those that wait by themselves; and the time it took if that is wanted."""
    if desk.out.as_json:
        shape: dict[str, Any] = {"hits": [hit_shape(hit) for hit in found]}
        if waits:
            shape["waiting"] = [hit_shape(hit) for hit in waits]
        desk.out.data(shape if steps is None else {**shape, "seconds": steps.seconds})
        return
    _print_hits(desk, found)
    if waits:
        desk.out.line(_WAITS)
        _print_hits(desk, waits)
    elif not found:
        desk.out.note("Nothing was found.")
    for name, seconds in (steps.seconds if steps else {}).items():
        desk.out.line(f"{name + ':':8}{seconds * 1000:9.1f} ms")


def _print_hits(desk: Desk, found: "Sequence[Found]") -> None:
    for place, hit in enumerate(found, 1):
        for line in found_lines(place, hit):
            desk.out.line(line)
