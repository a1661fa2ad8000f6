"""Many owners at once: a process that makes vaults, prepares their requests, then only sends.

``python -m bench.load URL VAULTS EACH SECONDS`` prints one JSON line. Every request is what the
SDK itself sends: its flow is run up to the request, and told that the server took it, so that the
next one is built on top. The clock starts when all are prepared; each vault then sends one
after the other on its own connection, as a device would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.corpus import documents, memories
from coffret.flows.entrance import create
from coffret.flows.http import Response
from coffret.flows.memories import remember
from coffret.testing import cheap
from coffret.transport import SyncDriver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret import NewMemory
    from coffret.flows.http import Request
    from coffret.flows.state import VaultState

CREATED = 201
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


def on_the_wire(request: Request) -> bytes:
    """A request as HTTP/1.1."""
    head = (
        f"{request.method} /api/v1{request.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {request.media}\r\nAccept: {request.media}\r\n"
        f"Authorization: DPoP {request.token}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


def prepared(state: VaultState, items: Sequence[NewMemory]) -> list[bytes]:
    """The requests that remember these memories, each on top of the one before."""
    taken = Response(CREATED, {}, b"")
    found = []
    for item in items:
        flow = remember(state, item)
        found.append(on_the_wire(next(flow)))
        try:
            flow.send(taken)
        except StopIteration:
            continue
        message = "remembering a memory took more than one request"
        raise RuntimeError(message)
    return found


async def send_all(port: int, requests: Sequence[bytes], deadline: float) -> int:
    """Send requests one after the other until the deadline, and give how many were taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    for request in requests:
        writer.write(request)
        head = (await reader.readuntil(_END)).lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        assert int(head[9:12]) == CREATED, head
        done += 1
        if time.perf_counter() > deadline:
            break
    writer.close()
    return done


async def together(port: int, plans: Sequence[Sequence[bytes]], seconds: float) -> float:
    """Requests a second that all vaults come to."""
    started = time.perf_counter()
    deadline = started + seconds
    taken = await asyncio.gather(*[send_all(port, plan, deadline) for plan in plans])
    return sum(taken) / (time.perf_counter() - started)


def main() -> None:
    """Make the vaults, prepare, send, print."""
    url, vaults, each, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    items = memories(documents(each + 1))
    driver, plans = SyncDriver(url), []
    with tempfile.TemporaryDirectory(prefix="coffret-bench-") as name:
        for number in range(vaults):
            place = Path(name) / str(number)
            state, _ = driver.run(create(url, f"owner-{number}", "pw", place, cheap()))
            driver.run(remember(state, items[0]))  # logs in
            plans.append(prepared(state, items[1:]))
            state.store.close()
        driver.close()
    port = int(url.rpartition(":")[2])
    rate = asyncio.run(together(port, plans, seconds))
    print(json.dumps({"rate": rate, "sent": sum(map(len, plans))}))


if __name__ == "__main__":
    main()
