"""The light half of the server's benchmark: sends prepared requests over raw sockets.

Run by `server_throughput.py` in a process of its own. It makes the vaults, prepares every request
(signed heads included) before the clock starts, and prints one JSON line of results.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from server import forge  # the path is set above

PACK = "application/msgpack"


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to the server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a prepared request and read the whole answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        start = lower.index(b"content-length:") + 15
        length = int(lower[start : lower.index(b"\r\n", start)])
        return status, await self.reader.readexactly(length)


def request(
    method: str,
    path: str,
    body: bytes = b"",
    shown: dict[str, str] | None = None,
    kind: str = PACK,
) -> bytes:
    """The bytes of a request; `shown` are the headers by which the caller is known."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (shown or {}).items())
    head = (
        f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"{lines}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def vault(connection: Connection, number: int, origin: str) -> forge.Owner:
    """A new vault with a session."""
    owner = forge.Owner(f"bench{number}")
    first = owner.first_append()
    body = json.dumps(owner.creation(first)).encode()
    status, answer = await connection.send(
        request("POST", "/accounts", body, kind="application/json")
    )
    assert status == 201, answer
    owner.commit(first)
    body = json.dumps({"username": owner.username, "kind": "passphrase"}).encode()
    _, answer = await connection.send(
        request("POST", "/auth/challenge", body, kind="application/json")
    )
    body = json.dumps(owner.login_body(json.loads(answer), origin)).encode()
    status, answer = await connection.send(
        request("POST", "/auth/login", body, kind="application/json")
    )
    assert status == 200, answer
    owner.token = json.loads(answer)["token"]
    return owner


def appends(owner: forge.Owner, count: int, batch: int) -> list[bytes]:
    """Prepared appends of `batch` new memories each."""
    path = "/memory-blobs" if batch == 1 else "/memory-blobs/batch"
    found = []
    for _ in range(count):
        append = owner.put(*[owner.memory() for _ in range(batch)])
        owner.commit(append)
        shown = {"Authorization": f"DPoP {owner.token}"}
        found.append(request("POST", path, msgspec.msgpack.encode(append), shown))
    return found


async def run(connection: Connection, requests: list[bytes]) -> None:
    """Send requests one after the other."""
    for item in requests:
        status, answer = await connection.send(item)
        assert status == 201, answer


async def timed(connections: list[Connection], plans: list[list[bytes]]) -> float:
    """Seconds until every plan is done, side by side."""
    started = time.perf_counter()
    await asyncio.gather(*[run(c, p) for c, p in zip(connections, plans, strict=True)])
    return time.perf_counter() - started


async def read_all(connection: Connection, owner: forge.Owner, origin: str, limit: int) -> float:
    """Seconds to fetch the whole sync feed in pages, without opening it."""
    started, index = time.perf_counter(), 0
    while index < owner.tree.size:
        path = f"/sync?from={index}&limit={limit}"
        url, now = f"{origin}/api/v1{path}", int(time.time())
        shown = forge.bound("GET", url, token=owner.token, at=now, key=owner.session)
        status, _ = await connection.send(request("GET", path, shown=shown))
        assert status == 200
        index += limit
    return time.perf_counter() - started


async def main() -> dict[str, Any]:
    """Every measurement."""
    port, singles, batches = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    origin = f"http://127.0.0.1:{port}"
    connections = [await Connection.open(port) for _ in range(16)]
    owners = [await vault(c, n, origin) for n, c in enumerate(connections)]
    warm = [appends(owner, 20, 1) for owner in owners]
    await timed(connections, warm)
    alone = [appends(owners[0], singles // 4, 1)]
    one = singles // 4 / await timed(connections[:1], alone)
    together = [appends(owner, singles // 16, 1) for owner in owners]
    many = singles // 16 * 16 / await timed(connections, together)
    hundreds = [appends(owners[0], batches, 100)]
    batched = batches * 100 / await timed(connections[:1], hundreds)
    pages = {
        limit: owners[0].tree.size / await read_all(connections[0], owners[0], origin, limit)
        for limit in (500, 2000, 2000)
    }
    return {
        "appends/s, 1 vault": round(one),
        "appends/s, 16 vaults": round(many),
        "records/s in batches of 100": round(batched),
        **{f"sync records/s, pages of {limit}": round(rate) for limit, rate in pages.items()},
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
