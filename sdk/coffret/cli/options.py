"""Options that several commands share, and how their values are read."""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from coffret_vault.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Offline = Annotated[bool, typer.Option("--offline", help="Show what this device knows already.")]
MemoryId = Annotated[str, typer.Argument(metavar="MEMORY", help="Its id, or how that ends.")]
NewId = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="UUID",
        help="An id of your own: said again with it, this is written once.",
    ),
]
GrantId = Annotated[str, typer.Argument(metavar="GRANT", help="Its id, or how that ends.")]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Its id, or how that ends.")]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="In plain words.")]
Content = Annotated[
    str | None,
    typer.Argument(metavar="[CONTENT]", help="Markdown; - reads it from standard input."),
]
Title = Annotated[str | None, typer.Option("--title", help="The server sees it, unless sealed.")]
Summary = Annotated[str | None, typer.Option("--summary", help="Sealed, as the content is.")]
Type = Annotated[str | None, typer.Option("--type", help="fact, preference, goal, …")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", help="May be repeated. The server sees tags, unless sealed."),
]
OtherTags = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", help="In place of those it has. May be repeated."),
]
Importance = Annotated[float | None, typer.Option("--importance", help="0 to 1.")]
Sealed = Annotated[
    bool | None,
    typer.Option(
        "--sealed/--plain",
        help="Keep title, tags and importance from the server too; else as the vault has it.",
    ),
]
Confidence = Annotated[float | None, typer.Option("--confidence", help="0 to 1.")]
Source = Annotated[str | None, typer.Option("--source", help="Where it comes from.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="May be repeated.")
]
OtherLabels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="In place of those it has."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="Sealed texts. May be repeated."),
]
OtherMetadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="In place of all it has."),
]
ValidFrom = Annotated[
    str | None, typer.Option("--valid-from", help="The day or time from which on it is true.")
]
ValidUntil = Annotated[
    str | None, typer.Option("--valid-until", help="The day or time at which it ceases to be.")
]
WithLabels = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="With all of these.")
]
WithMetadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata", metavar="NAME=VALUE", help="With all of these; of a list, with one like it."
    ),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Of one of these types.")]
AnyTags = Annotated[list[str] | None, typer.Option("--any-tag", help="With at least one of these.")]
Authors = Annotated[
    list[str] | None,
    typer.Option("--author", help="By one of these: owner, or the app with this id."),
]
Until = Annotated[str | None, typer.Option("--until", help="Created before this day or time.")]
AllTags = Annotated[list[str] | None, typer.Option("--tag", "-t", help="With all of these.")]
Least = Annotated[float | None, typer.Option("--importance", help="Of at least this, 0 to 1.")]
Since = Annotated[str | None, typer.Option("--since", help="Created from this day or time on.")]
ValidOn = Annotated[
    str | None,
    typer.Option(
        "--valid-on",
        help="True on this day (as it begins, in UTC) or at this time, as far as they say.",
    ),
]
From = Annotated[
    str | None,
    typer.Option("--source", help="From here: a folder, a file in it, chatgpt, …"),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Similar = Annotated[
    float | None,
    typer.Option(
        "--min-similarity",
        metavar="NUMBER",
        help="Leave out what is less similar in meaning (-1 to 1) and lacks a word of yours.",
    ),
]


class Mode(StrEnum):
    """How a memory may match."""

    FUSED = "fused"
    SEMANTIC = "semantic"
    WORDS = "words"


Matching = Annotated[Mode, typer.Option("--mode", help="By meaning, by words, or both.")]
AppName = Annotated[str, typer.Option("--app", help="Which of the apps registered here.")]
AppFile = Annotated[Path | None, typer.Option("--file", help="Or the file with the app's keys.")]
OfRequest = Annotated[
    str | None, typer.Option("--request", "-r", help="Under which request; the newest if absent.")
]

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"([0-9]{1,6})\s*([smhd]?)")
_SECONDS = {"s": 1, "": 60, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str | None) -> datetime | None:
    """A day or a time as ISO 8601 writes it; without a zone it is UTC.

    Raises:
        InputError: it is neither.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = "a day or time is written like 2026-05-31 or 2026-05-31T18:00"
        raise InputError(message) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def happened(text: str | None) -> datetime | None:
    """When a memory came to be: a day or a time that a vault can keep, and that has come.

    A day ahead is let through, since midnight comes earlier elsewhere; it is kept as now.

    Raises:
        InputError: it is no such time.
    """
    found = moment(text)
    if found is not None and not _FIRST <= found <= datetime.now(UTC) + timedelta(days=1):
        message = "a memory is created between 1970 and now"
        raise InputError(message, hint="Say any other day in the text, or as a --label.")
    return found


def span(text: str, *, most: timedelta) -> timedelta:
    """A length of time, like ``90s``, ``15m``, ``2h`` or ``1d``; minutes without a unit.

    Raises:
        InputError: it is not one, is zero, or longer than ``most``.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not seconds or seconds > most.total_seconds():
        message = f"a length of time is written like 15m or 2h, and is at most {most}"
        raise InputError(message)
    return timedelta(seconds=seconds)


def in_days(days: float) -> timedelta:
    """So many days.

    Raises:
        InputError: it is no such number.
    """
    try:
        return timedelta(days=days)
    except (ValueError, OverflowError):
        message = "that is not a number of days"
        raise InputError(message) from None


def labels_of(pairs: list[str] | None, what: str = "a label") -> dict[str, str]:
    """Labels from ``name=value`` words.

    Raises:
        InputError: one of them is not of that form.
    """
    labels = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            message = f"{what} is written name=value"
            raise InputError(message)
        labels[name] = value
    return labels


def narrowed(  # noqa: PLR0913, PLR0917 - each is an option, in the order in which commands have it
    tag: list[str] | None,
    any_tag: list[str] | None,
    kind: list[str] | None,
    author: list[str] | None,
    label: list[str] | None,
    metadata: list[str] | None,
    importance: float | None,
    since: str | None,
    until: str | None,
    source: str | None,
    valid_on: str | None,
) -> dict[str, Any]:
    """The options that narrow a list or a search, as ``Listing`` has them.

    Raises:
        InputError: a label, a day or a time is not written as one.
    """
    return {
        "tags": tag or (),
        "any_tags": any_tag or (),
        "types": kind or (),
        "authors": author or (),
        "labels": labels_of(label),
        "metadata": labels_of(metadata, "a value of metadata"),
        "importance": importance,
        "since": moment(since),
        "until": moment(until),
        "source": source,
        "valid_on": moment(valid_on),
    }
