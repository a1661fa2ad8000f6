"""What owners and developers see of apps, requests and grants."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from coffret_vault.errors import InputError
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import IMPORTANCE_ONE
from coffret_vault.formats.sharing import Manifest, Selector
from coffret_vault.grants.words import fingerprint
from coffret_vault.records.memory import Memory, from_micros, maybe_micros, maybe_moment

_UNSEEN = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))


def shown(text: str, *, kept: str = "") -> str:
    """Text by an app as it is shown to a person.

    Control and bidirectional characters, which can make a name look like another one, are left out,
    but for those that are ``kept``: where it is no name.
    """
    return "".join(
        symbol for symbol in text if symbol in kept or unicodedata.category(symbol) not in _UNSEEN
    )


def quoted(text: str) -> str:
    """A name that somebody else chose, so that nobody takes what is in it for ours."""
    return '"' + shown(text).replace('"', "'") + '"'


_PLAIN = re.compile(r"(?!or$)[\w./#@+-]+", re.ASCII)


def _named(names: frozenset[str]) -> str:
    """Tags or types; in quotes where one could be taken for something else that is asked for."""
    plain = (name if _PLAIN.fullmatch(name) else quoted(name) for name in map(shown, names))
    return " or ".join(sorted(plain))


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which memories are meant: every dimension that is given has to fit.

    Attributes:
        everything: all of them; then no dimension is given.
        tags: any of these tags.
        types: any of these types.
        ids: any of these memories.
        importance: at least this much, 0 to 1.
        since: updated then or later.
    """

    everything: bool = False
    tags: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    importance: float | None = None
    since: datetime | None = None

    def to_wire(self) -> Selector:
        """The selector that is signed."""
        importance = self.importance
        if importance is not None and not 0 <= importance <= 1:
            message = "importance is between 0 and 1"
            raise InputError(message)
        return Selector(
            everything=self.everything,
            tags=frozenset(self.tags),
            types=frozenset(self.types),
            ids=frozenset(parse_id(identifier) for identifier in self.ids),
            importance=None if importance is None else round(importance * IMPORTANCE_ONE),
            since=maybe_micros(self.since),
        )

    def describe(self) -> str:
        """The selection as a sentence's end: ``memories tagged travel``."""
        if self.everything:
            return "every memory"
        parts = [f"tagged {_named(self.tags)}"] if self.tags else []
        parts += [f"of type {_named(self.types)}"] if self.types else []
        parts += [f"from a list of {len(self.ids)}"] if self.ids else []
        parts += [] if self.importance is None else [f"of importance {self.importance:g} or more"]
        parts += [] if self.since is None else [f"updated since {self.since:%Y-%m-%d}"]
        return "memories " + ", ".join(parts)


def from_wire(selector: Selector) -> Selection:
    """The selection of a signed selector."""
    importance = selector.importance
    return Selection(
        everything=selector.everything,
        tags=selector.tags,
        types=selector.types,
        ids=frozenset(id_text(identifier) for identifier in selector.ids),
        importance=None if importance is None else importance / IMPORTANCE_ONE,
        since=maybe_moment(selector.since),
    )


class AppInfo(msgspec.Struct, frozen=True):
    """An app as its signed manifest describes it; text is cleaned for showing.

    ``fingerprint`` is eight words for the app's keys. It is empty while nothing has confirmed the
    app: the words have to come from the app itself, and what is on the screen would be copied.
    """

    app_id: str
    name: str
    homepage: str
    fingerprint: str = ""


def app_info(manifest: Manifest, *, known: bool = True) -> AppInfo:
    """An app as it is shown to a person; with its words if it is known to be that app."""
    words = fingerprint(keys_hash(manifest.signing_public, manifest.sealing_public))
    name, homepage = shown(manifest.name), shown(manifest.homepage)
    return AppInfo(id_text(manifest.app_id), name, homepage, words if known else "")


CONFIRMED: Literal["confirmed"] = "confirmed"
DIFFERS: Literal["differs"] = "differs"


class AppCheck(msgspec.Struct, frozen=True):
    """What an app's own domain says of it.

    ``state`` is ``confirmed`` (it names this very app), ``differs`` (it names others, and not this
    one), ``absent`` (it says nothing: no website, or no file of apps there), ``unreachable``, or
    ``unchecked``. ``host`` is the domain. ``ended`` names apps whose grants were ended because the
    domain names them no longer.
    """

    state: Literal["confirmed", "differs", "absent", "unreachable", "unchecked"]
    host: str
    ended: tuple[str, ...] = ()


class AccessRequestInfo(msgspec.Struct, frozen=True):
    """What an app asks for, read from the very bytes that it signed.

    ``state`` is what the server says; ``matching`` are the memories that would be shared now;
    ``warnings`` say what does not fit the apps that were approved before. Where this device cannot
    read a request, ``readable`` is false and nothing but its id and state is known of it: it can be
    denied, and not approved. ``digest`` is of the bytes that were shown, where they wait for an
    answer: ``approve`` takes no others for them.
    """

    request_id: str
    app: AppInfo
    state: str
    scopes: frozenset[str]
    selection: Selection
    purpose: str
    retention: str
    duration: timedelta
    standing: bool
    created: datetime
    matching: tuple[Memory, ...] = ()
    warnings: tuple[str, ...] = ()
    readable: bool = True
    digest: bytes = b""


RequestStatus = Literal[
    "pending", "approved", "denied", "cancelled", "lapsed", "superseded", "gone"
]
"""What becomes of a request, for the app that made it."""
GrantStatus = Literal["activating", "active", "paused", "revoked", "over", "gone"]
"""Where a grant stands, for its app."""
Requested = str | AccessRequestInfo
"""A request: by its id, or as somebody was shown it."""


def id_of(request: Requested) -> str:
    """A request's id."""
    return request.request_id if isinstance(request, AccessRequestInfo) else request


UNREADABLE = "this device cannot read what it asks for; it can only be denied"


def unreadable(request_id: str, state: str) -> AccessRequestInfo:
    """What is known of a request that does not parse: what the server says, and nothing else."""
    return AccessRequestInfo(
        request_id=request_id,
        app=AppInfo(app_id="", name="", homepage=""),
        state=state,
        scopes=frozenset(),
        selection=Selection(),
        purpose="",
        retention="",
        duration=timedelta(),
        standing=False,
        created=from_micros(0),
        warnings=(UNREADABLE,),
        readable=False,
    )


class GrantInfo(msgspec.Struct, frozen=True):
    """What an owner granted, from the owner's own signed log.

    ``state`` is ``activating``, ``active``, ``paused``, ``revoked`` or ``ended``; ``memories``
    counts those that the app holds a key of.
    """

    grant_id: str
    app: AppInfo
    state: str
    scopes: frozenset[str]
    selection: Selection
    purpose: str
    standing: bool
    auto_accept: bool
    created: datetime
    expires: datetime
    memories: int
