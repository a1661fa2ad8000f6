"""What an app holds of a grant in memory: opened memories, and an index over them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Required, TypedDict

from coffret.arguments import check_names, many
from coffret.finding import Found, Search, find
from coffret.flows.apps import Ask
from coffret.flows.readable import Readable, one
from coffret.flows.sync import silent
from coffret.sharing import Selection, app_info
from coffret_vault.errors import InputError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.grants.apps import Signed
from coffret_vault.grants.domain import app_document, read_app_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.sync import Progress
    from coffret.indexes import GrantIndexes
    from coffret.sharing import AppInfo
    from coffret_vault.records.memory import Memory


class Asking(TypedDict, total=False):
    """What an app asks for.

    ``scopes`` are some of ``read``, ``create``, ``update`` and ``delete``; ``purpose`` is what the
    owner reads; ``duration`` is between an hour and ten years. Which memories: ``everything``, or
    those that fit all of ``tags``, ``types``, ``memories`` (ids), ``importance`` and ``since`` that
    are given. ``retention`` says what the app promises about what it read; ``standing`` asks for
    memories written later too; ``since`` is of the last change. ``owner_words`` are the eight words
    that the owner's own vault shows (``Vault.words``): nobody else is asked then, whatever the
    server says.
    """

    scopes: Required[Collection[str]]
    purpose: Required[str]
    duration: Required[timedelta]
    everything: bool
    tags: Collection[str]
    types: Collection[str]
    memories: Collection[str]
    importance: float | None
    since: datetime | None
    retention: str
    standing: bool
    owner_words: str | None


def ask_of(username: str, asking: Asking) -> Ask:
    """An ask from a call's arguments.

    Raises:
        TypeError: one is not known, or missing.
        InputError: a bare text where a collection is wanted, nothing selected, or an argument of
            another kind.
    """
    check_names("request_access", asking, Asking)
    if missing := [name for name in ("scopes", "purpose", "duration") if name not in asking]:
        message = f"request_access() is missing the keyword argument {missing[0]!r}"
        raise TypeError(message)
    duration: object = asking["duration"]
    if not isinstance(duration, timedelta):
        message = "duration is a datetime.timedelta"
        raise InputError(message)
    since: object = asking.get("since")
    if not (since is None or isinstance(since, datetime)):
        message = "since is a datetime.datetime"
        raise InputError(message)
    texts: tuple[object, ...] = (asking["purpose"], asking.get("retention", ""))
    if not all(isinstance(text, str) for text in texts):
        message = "purpose and retention are texts"
        raise InputError(message)
    selection = Selection(
        everything=asking.get("everything", False),
        tags=frozenset(many("tags", asking.get("tags", ()))),
        types=frozenset(many("types", asking.get("types", ()))),
        ids=frozenset(many("memories", asking.get("memories", ()))),
        importance=asking.get("importance"),
        since=since,
    )
    return Ask(
        username=username,
        scopes=frozenset(many("scopes", asking["scopes"])),
        selection=selection,
        purpose=asking["purpose"],
        duration=duration,
        retention=asking.get("retention", ""),
        standing=asking.get("standing", False),
        owner_words=asking.get("owner_words"),
    )


def own_info(state: AppState) -> AppInfo:
    """The app as owners are shown it."""
    return app_info(state.manifest)


def own_document(state: AppState, beside: bytes | None) -> bytes:
    """The file in which the app's domain names it, and the other apps that an older file names."""
    others = () if beside is None else read_app_document(beside)
    kept = [signed for signed, app in others if app.app_id != state.manifest.app_id]
    return app_document([*kept, Signed(state.file.manifest, state.file.manifest_signature)])


class Shelf:
    """Opened memories of one grant, and the index over them."""

    def __init__(self, held: Held, request_id: str, indexes: GrantIndexes) -> None:
        """Begin empty; the index is the one that ``indexes`` keeps for this request's grant."""
        self.grant_id = id_text(held.grant.grant_id)
        self._held = held
        self._request_id = request_id
        self._indexes = indexes
        self._readable: Mapping[str, Readable] = {}

    def while_given(self, *, writing: bool = False) -> AbstractContextManager[None]:
        """Around whatever asks the server for the grant: see :class:`GrantIndexes`."""
        return self._indexes.while_given(self._request_id, writing=writing)

    def fill(self, readable: Mapping[str, Readable]) -> None:
        """Take what was just read."""
        self._readable = readable

    def memories(self) -> list[Memory]:
        """All of them."""
        return [item.memory for item in self._readable.values()]

    def one(self, memory_id: str) -> Readable:
        """One of them.

        Raises:
            NotFoundError: it is not there.
        """
        return one(self._readable, memory_id)

    def search(self, question: str, search: Search, progress: Progress = silent) -> list[Found]:
        """Search what is there now, one thread after the other; the index follows it first."""
        kept = self._indexes.of(self._request_id, self._held)
        readable = self._readable

        def read(keys: Iterable[bytes]) -> Iterator[Memory]:
            return (readable[id_text(key)].memory for key in keys)

        known = {
            parse_id(key): item.memory.version
            for key, item in readable.items()
            if item.key is not None
        }
        with kept.turn:
            index = kept.follow(known, read, progress, search.mode)
            return find(index, question, search, read)
