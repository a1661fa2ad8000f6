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
    from collections.abc import Set as AbstractSet
    from datetime import timedelta

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


class Narrowed(TypedDict, total=False):
    """Which memories a search or a list is of; see ``Search`` for each."""

    tags: Collection[str]
    any_tags: Collection[str]
    types: Collection[str]
    authors: Collection[str]
    labels: Mapping[str, str]
    importance: float | None
    since: datetime | None
    until: datetime | None


class Wanted(Narrowed, total=False):
    """What narrows a search; see ``Search`` for each."""

    limit: int
    mode: Mode
    min_similarity: float | None


class Approving(TypedDict, total=False):
    """How a request is approved; what is left out stays as it was asked.

    ``scopes`` and ``memories``: only these; ``exclude``: not these memories; ``duration``: for no
    longer; ``standing``: also memories that match and are written later; ``auto_accept``: what the
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
    unknown = sorted(how.keys() - Approving.__annotations__.keys())
    if unknown:
        message = f"approve() got an unexpected keyword argument {unknown[0]!r}"
        raise TypeError(message)
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


def _collected(values: Mapping[str, Any], *, into: type, names: frozenset[str]) -> dict[str, Any]:
    """Collections as the kind that the struct holds; a bare string is not one."""
    collected = dict(values)
    for name in names & collected.keys():
        collected[name] = into(many(name, collected[name]))
    return collected


def many(name: str, values: Collection[str]) -> Collection[str]:
    """The values of an argument that takes several.

    Raises:
        InputError: one text, whose letters would be taken for the values.
    """
    if isinstance(values, str):
        message = f"{name} is a collection of texts, not one text"
        raise InputError(message)
    return values


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
        check_created(new.created)
    return found


def check_created(created: object) -> None:
    """Take nothing else for a time of creation.

    Raises:
        InputError: it is neither a moment nor left out.
    """
    if not (created is None or isinstance(created, datetime)):
        message = "created is a datetime.datetime"
        raise InputError(message)


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


def search_of(wanted: Mapping[str, Any]) -> Search:
    """A search from a call's arguments.

    Raises:
        TypeError: one is not known: left out in silence, it would narrow nothing.
        InputError: one of them is of another kind, or out of its bounds.
    """
    return _search_of("search", wanted, Wanted.__annotations__.keys())


def narrowed_of(narrowed: Mapping[str, Any]) -> Search:
    """What a list is of, from a call's arguments, as a search has it.

    Raises:
        TypeError: one is not known.
        InputError: one of them is of another kind, or out of its bounds.
    """
    return _search_of("list", narrowed, Narrowed.__annotations__.keys())


def _search_of(call: str, wanted: Mapping[str, Any], known: AbstractSet[str]) -> Search:
    if unknown := sorted(wanted.keys() - known):
        message = f"{call}() got an unexpected keyword argument {unknown[0]!r}"
        raise TypeError(message)
    try:
        found = msgspec.convert(_collected(wanted, into=frozenset, names=_SETS), Search)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InputError(str(error)) from None
    if found.importance is not None and not 0 <= found.importance <= 1:
        message = "importance is between 0 and 1"
        raise InputError(message)
    if found.limit < 0:
        message = "a search gives no fewer than 0 hits"
        raise InputError(message)
    _check_least(found)
    return found


def _check_least(search: Search) -> None:
    least = search.min_similarity
    if least is None:
        return
    if not -1 <= least <= 1:  # nor is what is not a number
        message = "min_similarity is between -1 and 1"
        raise InputError(message)
    if search.mode == "words":
        message = "a search by words alone knows no similarity, so min_similarity is not for it"
        raise InputError(message)
