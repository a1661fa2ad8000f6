"""Coffret: a memory vault that its server cannot read.

Owners use :class:`Vault`, app developers :class:`App`; each has an asyncio twin. Nothing is loaded
before it is used: names are looked up in their modules when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coffret.access import Access
    from coffret.app import App, register_developer
    from coffret.arguments import Approving, Changes, Details, Listing, Wanted
    from coffret.async_access import AsyncAccess
    from coffret.async_app import AsyncApp, register_developer_async
    from coffret.async_vault import AsyncVault
    from coffret.developer import Developer
    from coffret.finding import Found
    from coffret.flows.deletion import AccountDeleted
    from coffret.flows.history import Version
    from coffret.flows.keychange import KeyChange
    from coffret.flows.memories import NewMemory
    from coffret.flows.proposals import Pending
    from coffret.flows.sessions import SessionInfo
    from coffret.flows.sync import SyncReport
    from coffret.flows.unkept import Unkept, UnkeptEntry
    from coffret.importing import Gone, ImportReport
    from coffret.kit import RecoveryKit
    from coffret.local import VaultSettings, VaultStatus
    from coffret.messages import MessagesReport, Talk
    from coffret.sharing import AccessRequestInfo, AppCheck, AppInfo, GrantInfo, Selection
    from coffret.shelf import Asking
    from coffret.undoing import ImportInfo, ImportUndone
    from coffret.vault import Vault
    from coffret_vault.errors import CoffretError
    from coffret_vault.records.memory import Fields, Memory, Review
    from coffret_vault.search import Embedder

_HOMES = {
    "Access": "coffret.access",
    "AccessRequestInfo": "coffret.sharing",
    "AccountDeleted": "coffret.flows.deletion",
    "App": "coffret.app",
    "AppCheck": "coffret.sharing",
    "AppInfo": "coffret.sharing",
    "Approving": "coffret.arguments",
    "Asking": "coffret.shelf",
    "AsyncAccess": "coffret.async_access",
    "AsyncApp": "coffret.async_app",
    "AsyncVault": "coffret.async_vault",
    "Changes": "coffret.arguments",
    "CoffretError": "coffret_vault.errors",
    "Details": "coffret.arguments",
    "Developer": "coffret.developer",
    "Embedder": "coffret_vault.search",
    "Fields": "coffret_vault.records.memory",
    "Found": "coffret.finding",
    "Gone": "coffret.importing",
    "GrantInfo": "coffret.sharing",
    "ImportInfo": "coffret.undoing",
    "ImportReport": "coffret.importing",
    "ImportUndone": "coffret.undoing",
    "KeyChange": "coffret.flows.keychange",
    "Listing": "coffret.arguments",
    "Memory": "coffret_vault.records.memory",
    "MessagesReport": "coffret.messages",
    "NewMemory": "coffret.flows.memories",
    "Pending": "coffret.flows.proposals",
    "RecoveryKit": "coffret.kit",
    "Review": "coffret_vault.records.memory",
    "Selection": "coffret.sharing",
    "SessionInfo": "coffret.flows.sessions",
    "SyncReport": "coffret.flows.sync",
    "Talk": "coffret.messages",
    "Unkept": "coffret.flows.unkept",
    "UnkeptEntry": "coffret.flows.unkept",
    "Vault": "coffret.vault",
    "VaultSettings": "coffret.local",
    "VaultStatus": "coffret.local",
    "Version": "coffret.flows.history",
    "Wanted": "coffret.arguments",
    "register_developer": "coffret.app",
    "register_developer_async": "coffret.async_app",
}

__all__ = [
    "Access",
    "AccessRequestInfo",
    "AccountDeleted",
    "App",
    "AppCheck",
    "AppInfo",
    "Approving",
    "Asking",
    "AsyncAccess",
    "AsyncApp",
    "AsyncVault",
    "Changes",
    "CoffretError",
    "Details",
    "Developer",
    "Embedder",
    "Fields",
    "Found",
    "Gone",
    "GrantInfo",
    "ImportInfo",
    "ImportReport",
    "ImportUndone",
    "KeyChange",
    "Listing",
    "Memory",
    "MessagesReport",
    "NewMemory",
    "Pending",
    "RecoveryKit",
    "Review",
    "Selection",
    "SessionInfo",
    "SyncReport",
    "Talk",
    "Unkept",
    "UnkeptEntry",
    "Vault",
    "VaultSettings",
    "VaultStatus",
    "Version",
    "Wanted",
    "register_developer",
    "register_developer_async",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'coffret' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
