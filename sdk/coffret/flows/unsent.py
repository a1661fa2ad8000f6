"""The change that was sent and not answered: kept until it is known what became of it.

docs/spec/5-log.md, Rules a device keeps. A device signs a head before it knows whether the server
takes it. Were the answer lost, and the next change put upon the same log, two heads of one size
would bear the owner's signature, as after a fork. So a change is kept before it leaves, and is sent
again, the very same bytes, before anything else is signed; it is given up when it can never be
accepted any more: the log has grown past it, or the server has refused it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import JSON, LogMovedError, Request, succeed
from coffret.flows.session import send
from coffret.flows.sync import sync
from coffret_vault.errors import (
    ConflictError,
    ForbiddenError,
    GrantError,
    InputError,
    NotFoundError,
    QuotaError,
    StoreDamagedError,
    TrustError,
)
from coffret_vault.formats.unshown import Unshown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState

_NAME = "unsent"
_NONE = b""
_REFUSED = (ConflictError, ForbiddenError, GrantError, InputError, NotFoundError, QuotaError)
"""What a server says that will not take a change; others may take it yet (busy, failing, …)."""

SETTLED = {_NAME: _NONE}
"""What is kept with a change that the server took."""


class _Unsent(Unshown, msgspec.Struct, frozen=True, array_like=True):
    """A request as it was sent, the log's size it builds on, and the one memory it begins."""

    base: int
    begins: bytes
    method: str
    path: str
    body: bytes
    media: str = JSON
    headers: dict[str, str] = {}
    params: tuple[tuple[str, str], ...] = ()
    by_head: bool = False

    def request(self) -> Request:
        """The same request again."""
        return Request(
            self.method,
            self.path,
            self.body,
            media=self.media,
            headers=self.headers,
            params=self.params,
            by_head=self.by_head,
        )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Unsent).decode


def hold(state: VaultState, base: int, request: Request, begins: bytes = b"") -> bytes | None:
    """Keep a change that is about to be sent; None if another one waits to be settled first."""
    kept = _encode(
        _Unsent(
            base,
            begins,
            request.method,
            request.path,
            request.body,
            request.media,
            request.headers,
            request.params,
            request.by_head,
        )
    )
    return kept if state.store.claim(_NAME, kept) else None


@contextmanager
def given_up_if_refused(state: VaultState, kept: bytes) -> Iterator[None]:
    """Forget a kept change when the server says that it will not take it."""
    try:
        yield
    except LogMovedError:
        raise
    except _REFUSED:
        give_up(state, kept)
        raise


def give_up(state: VaultState, kept: bytes) -> None:
    """Forget a kept change, unless another one is there by now."""
    state.store.release(_NAME, kept)


def settle(state: VaultState) -> Flow[bytes]:
    """Find out what became of the last change, by sending it again; nothing if none waits.

    Returns:
        The id of the memory that it began, if it was one and the server has it now; else nothing.

    Raises:
        NetworkError: the server is still away; the change stays.
        TrustError: the server says that the log has grown, and shows nothing of it.
    """
    kept = state.store.meta(_NAME) or _NONE
    if not kept:
        return _NONE
    unsent = _read(kept)
    if state.position().size <= unsent.base:
        yield from _again(state, unsent, kept)
    give_up(state, kept)
    return unsent.begins if unsent.begins and state.store.state(unsent.begins) else _NONE


def _read(kept: bytes) -> _Unsent:
    try:
        return _decode(kept)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise StoreDamagedError from None


def _again(state: VaultState, unsent: _Unsent, kept: bytes) -> Flow[None]:
    response = yield from send(state, unsent.request())
    try:
        with given_up_if_refused(state, kept):
            succeed(response)
    except LogMovedError:
        pass
    except _REFUSED:
        return  # whoever made the change was told then that it had failed
    yield from sync(state)
    if state.position().size <= unsent.base:
        message = "the server says that the log has grown, and shows nothing that is new"
        raise TrustError(message)
