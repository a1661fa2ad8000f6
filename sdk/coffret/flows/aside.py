"""Have a driver do what keeps a processor busy for long, so that an event loop need not wait.

Deriving keys from a passphrase is meant to be slow (docs/spec/3-keys.md). A flow asks for that work
as it asks for requests: the synchronous driver does it at once, the one for asyncio in a thread.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from coffret.flows.http import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.http import Flow

T = TypeVar("T")


def aside(work: Callable[[], T]) -> Flow[T]:
    """Do ``work``, and give what it gives.

    Raises:
        BaseException: whatever the work raised.
    """
    done: Future[T] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised below, where the flow is
            done.set_exception(error)

    yield Request("", "", aside=do)
    return done.result()
