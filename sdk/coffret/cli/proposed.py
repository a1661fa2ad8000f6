"""What an app wrote, whole, as its owner looks at it: what it would be, and what is there now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from coffret.cli.showing import memory_head, one_line
from coffret.cli.writing import plain
from coffret.sharing import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.proposals import Pending
    from coffret_vault.records.memory import Fields, Memory

_NOT_OPEN = "It does not open: it can only be rejected."


def proposal_lines(item: Pending, app: str) -> Iterator[str]:
    """One proposal. Rows of content are marked, so that none looks like a line of ours."""
    begun = f"Version {item.version}: {quoted(app)} wants to"
    proposed, now = item.proposed, item.current
    if item.deletion:
        yield f"{begun} delete this."
        yield from _whole(now) if now else ()
    elif proposed is None:
        yield f"{begun} write this. {_NOT_OPEN}"
    elif now is None:
        yield f"{begun} create this."
        yield from _whole(proposed)
    else:
        yield f"{begun} change this."
        yield from _changes(now.fields(), proposed.fields())


def _whole(memory: Memory) -> Iterator[str]:
    for name, text in memory_head(memory):
        if name != "Metadata":  # which is shortened there
            yield f"{name + ':':13}{text}"
    for name, value in (("Metadata", memory.metadata), ("Provenance", memory.provenance)):
        if value:
            yield f"{name + ':':13}{_text(value)}"
    yield from _marked(memory.content)


def _marked(content: str) -> Iterator[str]:
    return (f"  | {row}" for row in content.splitlines() or [""])


def _changes(now: Fields, then: Fields) -> Iterator[str]:
    """All that would be another, none of it shortened: what is left out here is not agreed to."""
    same = True
    for name in now.__struct_fields__:
        before, after = getattr(now, name), getattr(then, name)
        if name == "content" or before == after:
            continue
        same = False
        yield f"{name.capitalize().replace('_', ' ') + ':':13}{_text(after)}"
        yield f"{'  now:':13}{_text(before)}"
    if then.content == now.content:
        yield "The content stays as it is." if not same else "Nothing of it would change."
        return
    yield "The content would be:"
    yield from _marked(then.content)
    yield "It is now:"
    yield from _marked(now.content)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return one_line(text) or "(nothing)"
