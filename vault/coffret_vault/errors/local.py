"""What this device keeps cannot be used."""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError


class StoreError(CoffretError):
    """The local store cannot be used."""

    code = "store"
    exit_code = 9


class StoreDamagedError(StoreError):
    """The local store is damaged; the server's copy is whole, so sync into a new one."""

    code = "store-damaged"


class StoreAlteredError(StoreDamagedError):
    """The local store holds something that this vault never made; nothing was done by it."""

    code = "store-altered"


class StoreFullError(StoreError):
    """The disk is full; what was done before stays, and nothing else was changed."""

    code = "disk-full"


class StoreMovedError(StoreError):
    """Another program changed the local store at the same time; try again."""

    code = "store-moved"


class IndexDamagedError(CoffretError):
    """The search index cannot be used and has to be rebuilt."""

    code = "index-damaged"
    exit_code = 9
