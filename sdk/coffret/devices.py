"""What the server says of an account: the devices that are logged in, and how much it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows import sessions as flows
from coffret.flows import usage as usage_flows
from coffret.local import LocalVault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.sessions import SessionInfo
    from coffret.flows.usage import Usage
    from coffret.transport import AsyncDriver, SyncDriver


class Devices(LocalVault):
    """What :class:`coffret.Vault` does about sessions, and its usage."""

    _driver: SyncDriver

    def usage(self) -> Usage:
        """How much the vault takes up at its server, and how much it may, as the server says."""
        return self._driver.run(usage_flows.usage(self._state))

    def sessions(self) -> Sequence[SessionInfo]:
        """The devices that are logged in, the oldest first, as the server says."""
        return self._driver.run(flows.sessions(self._state))

    def end_session(self, session_id: str) -> None:
        """Log a device out: it locks itself when it next asks the server for something.

        That stops a device that keeps to the rules. One in the hands of somebody else may hold on
        to keys that are unlocked on it: :meth:`change_keys` is against that.

        Raises:
            NotFoundError: there is no such session.
        """
        self._driver.run(flows.end_session(self._state, session_id))

    def log_out(self) -> None:
        """End this device's session at the server, and lock the vault.

        Raises:
            NetworkError: the server does not answer; the vault is locked nevertheless.
        """
        self._driver.run(flows.log_out(self._state))


class AsyncDevices(LocalVault):
    """What :class:`coffret.AsyncVault` does about sessions, and its usage."""

    _driver: AsyncDriver

    async def usage(self) -> Usage:
        """How much the vault takes up at its server, and how much it may, as the server says."""
        return await self._driver.run(usage_flows.usage(self._state))

    async def sessions(self) -> Sequence[SessionInfo]:
        """The devices that are logged in, the oldest first, as the server says."""
        return await self._driver.run(flows.sessions(self._state))

    async def end_session(self, session_id: str) -> None:
        """Log a device out, as :meth:`coffret.Vault.end_session`.

        Raises:
            NotFoundError: there is no such session.
        """
        await self._driver.run(flows.end_session(self._state, session_id))

    async def log_out(self) -> None:
        """End this device's session at the server, and lock the vault.

        Raises:
            NetworkError: the server does not answer; the vault is locked nevertheless.
        """
        await self._driver.run(flows.log_out(self._state))
