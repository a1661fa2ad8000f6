"""The keyword arguments that several methods share, and what they become."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from coffret.finding import Search
from coffret.flows.appcheck import Confirmation
from coffret.flows.memories import NewMemory
from coffret.flows.requests import Narrowing
from coffret_vault.errors import InputError
from coffret_vault.records.memory import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import timedelta

    from coffret_vault.records.memory import Memory
    from coffret_vault.search import Mode


class Details(TypedDict, total=False):
    """What may be said of a memory beside its content; see ``Fields`` for each.

    ``sealed``: None, or left out, is as the vault has it for a new memory, and as it was for one
    that is changed. An app is not told what the vault has: for it, None is sealed.
    """

    title: str
    summary: str
    type: str
    tags: Collection[str]
    importance: float | None
    confidence: float | None
    source: str
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    sealed: bool | None
    valid_from: datetime | None
    valid_until: datetime | None
    provenance: Mapping[str, str]


class Changes(Details, total=False):
    """What may be changed of a memory."""

    content: str


class Listing(TypedDict, total=False):
    """What narrows a list; see ``Search`` for each. Without ``limit`` it is all that fit."""

    tags: Collection[str]
    any_tags: Collection[str]
    types: Collection[str]
    authors: Collection[str]
    labels: Mapping[str, str]
    metadata: Mapping[str, str | float | bool]
    importance: float | None
    since: datetime | None
    until: datetime | None
    valid_on: datetime | None
    source: str | None
    limit: int


class Wanted(Listing, total=False):
    """What narrows a search; see ``Search`` for each."""

    mode: Mode
    min_similarity: float | None


class Approving(TypedDict, total=False):
    """How a request is approved; what is left out stays as it was asked.

    ``scopes`` and ``memories``: only these; without ``memories``, those that were shown with the
    request and match still; ``exclude``: not these of them; ``duration``: for no longer;
    ``standing``: all that match, also memories that are written later; ``auto_accept``: what the
    app writes needs no review.

    An app that was not approved before, by this name and homepage, has to be told from others by
    what the owner brings from elsewhere; have it typed. ``words``: the eight words that the app
    itself shows (``App.words``). ``website``: the host name of the app's website, which has to
    confirm it. ``check_domain``: whether the website may be asked, which tells it this device's
    address; it may unless this is false. ``new_keys``: confirm keys that differ from those that
    were approved before.
    """

    scopes: Collection[str] | None
    memories: Collection[str] | None
    exclude: Collection[str]
    duration: timedelta | None
    standing: bool
    auto_accept: bool
    words: str | None
    website: str | None
    check_domain: bool
    new_keys: bool


def approval_of(how: Approving) -> tuple[Narrowing, Confirmation]:
    """What an approval leaves of a request, and how its app is known, from a call's arguments."""
    check_names("approve", how, Approving)
    scopes, memories = how.get("scopes"), how.get("memories")
    narrowing = Narrowing(
        None if scopes is None else frozenset(many("scopes", scopes)),
        None if memories is None else frozenset(many("memories", memories)),
        frozenset(many("exclude", how.get("exclude", ()))),
        how.get("duration"),
        how.get("standing", False),
        how.get("auto_accept", False),
    )
    given = Confirmation(
        how.get("words"),
        how.get("website"),
        how.get("check_domain", True),
        how.get("new_keys", False),
    )
    return narrowing, given


def check_names(call: str, given: Mapping[str, Any], known: type) -> None:
    """Take no keyword argument that nobody looks at.

    Raises:
        TypeError: there is one, as for any other function.
    """
    if unknown := sorted(given.keys() - known.__annotations__.keys()):
        takes = ", ".join(sorted(known.__annotations__))
        message = f"{call}() got an unexpected keyword argument {unknown[0]!r}; it takes {takes}"
        raise TypeError(message)


def _collected(values: Mapping[str, Any], *, into: type, names: frozenset[str]) -> dict[str, Any]:
    """Collections as the kind that the struct holds; a bare string is not one."""
    collected = dict(values)
    for name in names & collected.keys():
        try:
            collected[name] = into(many(name, collected[name]))
        except TypeError:  # it has no values, or one that is no text
            raise InputError(_NOT_MANY.format(name)) from None
    return collected


def many(name: str, values: Collection[str]) -> Collection[str]:
    """The values of an argument that takes several.

    Raises:
        InputError: one text, whose letters would be taken for the values.
    """
    if isinstance(values, str):
        raise InputError(_NOT_MANY.format(name))
    return values


_NOT_MANY = "{} is a collection of texts, not one text"
_TAGS = frozenset(("tags",))
_SETS = frozenset(("tags", "any_tags", "types", "authors"))
_MAPS = frozenset(("labels", "metadata", "provenance"))


def fields_of(content: str, details: Mapping[str, Any]) -> Fields:
    """The fields of a memory from a call's arguments."""
    return Fields(content=content, **_normal(details))


def new_memories(memories: Iterable[NewMemory]) -> list[NewMemory]:
    """Memories that are to be written, as they were given.

    Raises:
        InputError: one of them is none.
    """
    found = list(memories)
    for new in found:
        given: object = new
        fields: object = getattr(given, "fields", None)
        if not (isinstance(given, NewMemory) and isinstance(fields, Fields)):
            message = "memories are given as NewMemory(Fields(content=…))"
            raise InputError(message)
        created: object = new.created
        if not (created is None or isinstance(created, datetime)):
            message = "created is a datetime.datetime"
            raise InputError(message)
    return found


def _normal(details: Mapping[str, Any]) -> dict[str, Any]:
    values = _collected(details, into=tuple, names=_TAGS)
    return {name: dict(value) if name in _MAPS else value for name, value in values.items()}


def changed(changes: Mapping[str, Any]) -> Callable[[Fields], Fields]:
    """A function that makes these changes to a memory's fields."""
    normal = _normal(changes)
    if normal.get("sealed", False) is None:
        del normal["sealed"]  # as it is

    def change(fields: Fields) -> Fields:
        result: Fields = msgspec.structs.replace(fields, **normal)
        return result

    return change


def listing_of(call: str, wanted: Mapping[str, Any]) -> Callable[[Iterable[Memory]], list[Memory]]:
    """A function that gives those memories that are wanted, most lately changed first.

    Raises:
        TypeError: an argument is not known.
        InputError: one of them is of another kind, or out of its bounds.
    """
    check_names(call, wanted, Listing)
    search = search_of(wanted)
    limit = search.limit if "limit" in wanted else None

    def narrow(memories: Iterable[Memory]) -> list[Memory]:
        found = filter(search.passes(), memories)
        return sorted(found, key=lambda memory: memory.updated, reverse=True)[:limit]

    return narrow


def asked(question: str, wanted: Mapping[str, Any]) -> Search:
    """The search for a question; what cannot be asked is refused before anything is embedded.

    Raises:
        TypeError: an argument is not known.
        InputError: the question is no text, or blank, or an argument is of another kind, or out of
            its bounds.
    """
    from coffret_vault.search import check_question  # noqa: PLC0415 - loads numpy: only to search

    search = search_of(wanted)
    check_question(question, search.limit)
    return search


def search_of(wanted: Mapping[str, Any]) -> Search:
    """A search from a call's arguments.

    Raises:
        TypeError: one of them is not known.
        InputError: one of them is of another kind, or out of its bounds.
    """
    check_names("search", wanted, Wanted)
    try:
        found = msgspec.convert(_collected(wanted, into=frozenset, names=_SETS), Search)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InputError(str(error)) from None
    if found.importance is not None and not 0 <= found.importance <= 1:
        message = "importance is between 0 and 1"
        raise InputError(message)
    if found.source is not None and not found.source.strip("/ "):
        message = "source is blank"
        raise InputError(message)
    if found.limit < 0:
        message = "limit is at least 0"
        raise InputError(message)
    if found.min_similarity is not None:
        from coffret_vault.search import check_least  # noqa: PLC0415 - loads numpy: only to search

        check_least(found.min_similarity, found.mode)
    return found
