"""Memories, requests and grants as rows, lines and JSON objects."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from coffret.cli.naming import short
from coffret.cli.writing import plain
from coffret.sharing import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from coffret.finding import Found
    from coffret.flows.history import Version
    from coffret.flows.proposals import Pending
    from coffret.flows.usage import Usage
    from coffret.sharing import AccessRequestInfo, AppInfo, GrantInfo
    from coffret_vault.records.memory import Memory

_SNIPPET = 160


def day(moment: datetime) -> str:
    """A day and a minute, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M}"


def local_minute(moment: datetime) -> str:
    """A day and a minute in this machine's zone, if that has such a day: a server may say any."""
    with suppress(OverflowError):
        moment = moment.astimezone()
    return f"{moment:%Y-%m-%d %H:%M}"


def days(span: timedelta) -> str:
    """A length of time in days and hours, not shorter than it is: an app chooses it to a second."""
    whole, hours = divmod(in_hours(span), 24)
    parts = [f"{whole} day{'s' * (whole != 1)}"] if whole else []
    parts += [f"{hours} hour{'s' * (hours != 1)}"] if hours else []
    return " and ".join(parts)


def in_hours(span: timedelta) -> int:
    """A length of time in the hours that :func:`days` shows of it."""
    return -(-span // timedelta(hours=1))


_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"), " ")
"""Letters and signs that look like a space."""


def one_line(text: str) -> str:
    """A text in one line, so that no title by an app looks like a line of ours."""
    return " ".join(text.translate(_BLANK).split())


def name_of(memory: Memory) -> str:
    """A memory's title, or how its content begins."""
    return one_line(memory.title) or snippet(memory.content, 60)


def used(usage: Usage) -> str:
    """What an account takes up at its server, of what it may."""
    return (
        f"{usage.memories:,} of {usage.quota_memories:,} memories, "
        f"{_size(usage.bytes)} of {_size(usage.quota_bytes)}"
    )


def _size(count: int) -> str:
    for unit, most in (("bytes", 1 << 10), ("KiB", 1 << 20), ("MiB", 1 << 30)):
        if count < most:
            return f"{count * 1024 / most:,.{0 if unit == 'bytes' else 1}f} {unit}"
    return f"{count / (1 << 30):,.1f} GiB"


def memories(count: int) -> str:
    """So many memories, in words."""
    return "1 memory" if count == 1 else f"{count} memories"


def changes(count: int) -> str:
    """So many changes, in words."""
    return "1 change" if count == 1 else f"{count} changes"


def snippet(text: str, most: int = _SNIPPET) -> str:
    """How a text begins, in one line."""
    words = one_line(text)
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def memory_rows(
    memories: Iterable[Memory], waits: Collection[str] | None = None
) -> Iterator[tuple[str, ...]]:
    """Id, time, type, title and tags; and where ids of what waits are given, whether it does."""
    for memory in memories:
        state = () if waits is None else ("waiting" if memory.id in waits else "",)
        yield (
            short(memory.id),
            day(memory.updated),
            memory.type,
            name_of(memory),
            ", ".join(memory.tags),
            *state,
        )


def memory_head(memory: Memory, *, waits: bool = False) -> Iterator[tuple[str, str]]:
    """Everything about a memory but its content, named; each in one line."""
    return ((name, one_line(value)) for name, value in _head(memory, waits=waits))


def _head(memory: Memory, *, waits: bool) -> Iterator[tuple[str, str]]:
    yield "Id", memory.id
    yield "Title", memory.title
    yield "Type", memory.type
    yield "Tags", ", ".join(memory.tags)
    optional = (
        ("Summary", memory.summary),
        ("Source", memory.source),
        ("Labels", ", ".join(f"{name}={value}" for name, value in memory.labels.items())),
        ("Metadata", ", ".join(map(_said, memory.metadata.items()))),
        ("Importance", "" if memory.importance is None else f"{memory.importance:g}"),
        ("Confidence", "" if memory.confidence is None else f"{memory.confidence:g}"),
    )
    yield from ((name, value) for name, value in optional if value)
    yield "By", memory.author
    yield "Created", day(memory.created)
    if memory.valid_from or memory.valid_until:
        ends = (("from", memory.valid_from), ("until", memory.valid_until))
        yield "Valid", " ".join(f"{word} {day(at)}" for word, at in ends if at)
    yield "Changed", f"{day(memory.updated)}, version {memory.version}"
    yield "Review", memory.review.status
    if waits:
        yield "Waits", "on this device, for the server: coffret unkept shows it too"
    else:
        yield "Server sees", "sizes and times" if memory.sealed else "title, tags, importance"


def _said(item: tuple[str, object]) -> str:
    """A value of metadata as ``--metadata`` takes it; how it begins, where it is long."""
    name, value = item
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return f"{name}={snippet(text)}"


def version_rows(versions: Iterable[Version]) -> Iterator[tuple[str, ...]]:
    """Number, time, author, what happened, and the title then."""
    for item in versions:
        what = "deleted" if item.deletion else "written"
        title = name_of(item.memory) if item.memory else ""
        yield str(item.version), day(item.at), item.author, what, title


def found_lines(place: int, found: Found) -> Iterator[str]:
    """A hit: what, how well, why, and how it begins."""
    memory = found.memory
    reasons = {"semantic": f"meaning {found.similarity or 0:.2f}", "words": _words(found)}
    why = ", ".join(reasons[reason] for reason in found.why)
    yield f"{place:2}. {found.score:.3f}  {name_of(memory)}  [{short(memory.id)}]"
    tags = f"  tags: {one_line(', '.join(memory.tags))}" if memory.tags else ""
    yield f"    {memory.created:%Y-%m-%d}  {why}{tags}"
    yield f"    {snippet(memory.content)}"


def _words(found: Found) -> str:
    return f"words {' '.join(found.words)}"


def hit_shape(found: Found) -> dict[str, Any]:
    """A hit as JSON."""
    return {
        "score": found.score,
        "why": list(found.why),
        "similarity": found.similarity,
        "coverage": found.coverage,
        "lexical": found.lexical,
        "words": list(found.words),
        "memory": plain(found.memory),
    }


def app_parts(app: AppInfo) -> Iterator[tuple[str, str]]:
    """Who an app is. Of one that is not known, nothing that its owner is to type."""
    yield "App", app.name
    if app.fingerprint:
        yield "Homepage", app.homepage
        yield "Its words", app.fingerprint
    else:
        yield "", "(you never approved it as it is now; it chose that name itself)"


def request_parts(request: AccessRequestInfo) -> Iterator[tuple[str, str]]:
    """Everything that an owner has to know to decide, named; each in one line."""
    return ((name, one_line(text)) for name, text in _request(request))


def _request(request: AccessRequestInfo) -> Iterator[tuple[str, str]]:
    yield "Request", f"{request.request_id} ({request.state})"
    yield from app_parts(request.app)
    yield "Wants to", ", ".join(sorted(request.scopes))
    yield "Which", request.selection.describe()
    yield "What for", request.purpose
    yield "Retention", request.retention or "it promises nothing"
    yield "How long", days(request.duration)
    yield "Later ones", "asks for memories written later too" if request.standing else "no"
    yield from (("Warning", warning) for warning in request.warnings)


def request_shape(request: AccessRequestInfo) -> dict[str, Any]:
    """A request as JSON; of the memories only what names them."""
    shape: dict[str, Any] = {
        name: plain(getattr(request, name))
        for name in request.__struct_fields__
        if name not in {"matching", "duration", "digest"}
    }
    shape["duration_seconds"] = int(request.duration.total_seconds())
    shape["describes"] = request.selection.describe()
    shape["matching"] = [
        {"id": memory.id, "title": memory.title, "tags": list(memory.tags)}
        for memory in request.matching
    ]
    return shape


def request_rows(requests: Iterable[AccessRequestInfo]) -> Iterator[tuple[str, ...]]:
    """Id, state, app, scopes, memories and time."""
    for request in requests:
        yield (
            short(request.request_id),
            request.state,
            request.app.name if request.readable else "(cannot be read)",
            ", ".join(sorted(request.scopes)),
            request.selection.describe() if request.readable else "",
            str(len(request.matching)) if request.matching else "",
            days(request.duration) if request.readable else "",
        )


def grant_rows(grants: Iterable[GrantInfo]) -> Iterator[tuple[str, ...]]:
    """Id, state, app, scopes, memories, end."""
    for grant in grants:
        extra = [
            name
            for name, there in (("standing", grant.standing), ("auto-accept", grant.auto_accept))
            if there
        ]
        yield (
            short(grant.grant_id),
            grant.state,
            grant.app.name,
            ", ".join([*sorted(grant.scopes), *extra]),
            grant.selection.describe(),
            str(grant.memories),
            f"{grant.expires:%Y-%m-%d}",
        )


def pending_rows(items: Sequence[Pending], apps: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Id, version, app, what it wants, and how it begins."""
    for item in items:
        what = _wanted(item)
        memory = item.proposed or item.current
        text = "(does not open: it can only be rejected)"
        if item.proposed or item.deletion:
            text = name_of(memory) if memory else ""
        yield (
            short(item.memory_id),
            str(item.version),
            shown(apps.get(item.app_id, item.app_id)),
            what,
            text,
        )


def _wanted(item: Pending) -> str:
    if item.deletion:
        return "delete"
    return "create" if item.current is None else "change"
