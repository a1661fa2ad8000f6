"""What who made a change is told of it, where an error leaves it: it waits here, or is nowhere.

A change is kept before it leaves (:mod:`coffret.flows.unsent`), so every error from then on that
is no refusal leaves it waiting: of a server that is away, and of one that is found out too.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from coffret.flows.unsent import REFUSED
from coffret_vault.errors import FormatError, NetworkError, ServerError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITS = (
    "The change is kept on this device, and may have arrived: the next command that reaches the "
    "server sends it again, unless another device has written by then, or the server refuses it. "
    "Then coffret unkept says so, and has what it would have said."
)
BEGUN_WAITS = (
    "The memory is kept on this device, and may have arrived: the next command that reaches the "
    "server sends it again, unless the server refuses it. Then coffret unkept has it."
)
NOT_KEPT = "Nothing of this was written, here or there: say it again when the server is back."


@contextmanager
def said_to_wait(begins: bytes = b"") -> Iterator[None]:
    """Tell who made a change that it is kept, where nobody knows what became of it."""
    said = BEGUN_WAITS if begins else WAITS
    try:
        yield
    except REFUSED:
        raise
    except (NetworkError, ServerError) as error:
        error.hint = error.hint or said
        raise
    except (TrustError, FormatError) as error:  # which may name the evidence besides
        error.hint = f"{said} {error.hint}".rstrip()
        raise


@contextmanager
def said_of_another() -> Iterator[None]:
    """Say nothing of a change within: what is sent there is not what is wanted now."""
    try:
        yield
    except (TrustError, FormatError) as error:
        for said in (BEGUN_WAITS, WAITS):
            error.hint = error.hint.removeprefix(said).lstrip()
        raise


@contextmanager
def said_not_kept() -> Iterator[None]:
    """Tell who wanted a change that it was not begun, where the server is away before that.

    What is written anew within may be kept, and says so of itself: it is not what was wanted.
    """
    try:
        yield
    except NetworkError as error:
        error.hint = NOT_KEPT
        raise
    except ServerError as error:
        if error.hint in {"", WAITS, BEGUN_WAITS} and not isinstance(error, REFUSED):
            error.hint = NOT_KEPT
        raise
