"""Work in a thread, which nobody leaves before it is done."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from coffret.threads import apart, beside, in_thread


@pytest.mark.parametrize("failing", [False, True])
def test_who_is_cancelled_waits_and_nobody_complains(*, failing: bool) -> None:
    """The work is done when the cancelled caller goes on, and its failure is no loose end."""
    begun, done, complaints = threading.Event(), list[bool](), list[dict[str, Any]]()

    def work() -> None:
        begun.set()
        threading.Event().wait(0.05)
        done.append(True)
        if failing:
            raise OSError

    async def cancelled_while_it_works() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, found: complaints.append(found))
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done

    asyncio.run(cancelled_while_it_works())
    gc.collect()
    assert complaints == []


def test_what_fails_is_raised_where_nobody_was_cancelled() -> None:
    """An error of the work is its caller's."""

    def work() -> None:
        message = "of the work"
        raise OSError(message)

    with pytest.raises(OSError, match="of the work"):
        asyncio.run(in_thread(work))


def no_thread(_thread: threading.Thread) -> None:
    """As Python refuses one where the program ends, or has as many as it may."""
    message = "can't start new thread"
    raise RuntimeError(message)


def test_where_no_thread_is_to_be_had_work_is_done_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside, apart or waited for: what it gives is had, and what it raises."""

    def fail() -> None:
        raise OSError

    async def awaited() -> list[int]:
        with pytest.raises(OSError, match=r"^$"):
            await in_thread(fail)
        return [await in_thread(int, "1"), await apart(int, "2")]

    loop = asyncio.new_event_loop()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    try:
        assert loop.run_until_complete(awaited()) == [1, 2]
    finally:
        loop.close()
    assert beside(int, "3").result() == 3
    assert isinstance(beside(fail).exception(), OSError)
