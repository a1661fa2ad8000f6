"""What proofs about an account's log are made from."""

from collections.abc import Iterable

from coffret_server import merkle
from coffret_server.rows import unpack_leaf
from coffret_server.storage import Tx


class Hashes:
    """Hashes for proofs, read before they are made."""

    def __init__(self, tiles: dict[int, bytes], leaves: dict[int, bytes]) -> None:
        self._tiles = tiles
        self._leaves = leaves

    def tile(self, index: int) -> bytes:
        """The hash of a full run of leaves, or of a wide one."""
        return self._tiles[index]

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """The hashes of leaves in a run that was read."""
        return [self._leaves[index] for index in range(start, stop)]


async def read_hashes(tx: Tx, account: bytes, at: Iterable[int]) -> Hashes:
    """Every wide run, the runs of those in which these indexes lie, and the leaves of theirs."""
    places, runs = list(at), merkle.WIDE // merkle.TILE
    wide = "SELECT idx, hash FROM tiles WHERE account_id = ? AND idx < 0"
    tiles = [*await tx.all(wide, account)]
    for block in {index // merkle.WIDE for index in places}:
        tiles += await tx.all(
            "SELECT idx, hash FROM tiles WHERE account_id = ? AND idx >= ? AND idx < ?",
            account,
            block * runs,
            (block + 1) * runs,
        )
    leaves: dict[int, bytes] = {}
    for run in {index // merkle.TILE for index in places}:
        rows = await tx.all(
            "SELECT seq, leaf FROM entries WHERE account_id = ? AND seq >= ? AND seq < ?",
            account,
            run * merkle.TILE,
            (run + 1) * merkle.TILE,
        )
        leaves.update((row[0], merkle.leaf_hash(unpack_leaf(row[1]))) for row in rows)
    return Hashes({row[0]: row[1] for row in tiles}, leaves)
