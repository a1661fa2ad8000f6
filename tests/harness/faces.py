"""The synchronous and the asynchronous SDK behind one set of calls, so that a test runs on both."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Protocol, cast

from coffret import (
    App,
    AsyncAccess,
    AsyncApp,
    AsyncVault,
    Vault,
    register_developer,
    register_developer_async,
)

if TYPE_CHECKING:
    from coffret import RecoveryKit


class Face(Protocol):
    """The ways in; what they give has the methods of the synchronous classes."""

    def create(self, *args: Any, **kwargs: Any) -> tuple[Vault, RecoveryKit]:
        """As ``Vault.create``."""
        ...

    def login(self, *args: Any, **kwargs: Any) -> Vault:
        """As ``Vault.login``."""
        ...

    def recover(self, *args: Any, **kwargs: Any) -> tuple[Vault, str]:
        """As ``Vault.recover``."""
        ...

    def open(self, *args: Any, **kwargs: Any) -> Vault:
        """As ``Vault.open``."""
        ...

    def register_developer(self, *args: Any) -> str:
        """As ``coffret.register_developer``."""
        ...

    def register_app(self, *args: Any, **kwargs: Any) -> App:
        """As ``App.register``."""
        ...

    def load_app(self, *args: Any, **kwargs: Any) -> App:
        """As ``App.load``."""
        ...

    def waiting(self, function: Any) -> Any:
        """The function, made to wait for its result."""
        ...

    def unwrapped(self, thing: Any) -> Any:
        """The SDK's own object behind one that the face gave."""
        ...

    def close(self) -> None:
        """Let go of what the face itself holds."""
        ...


class SyncFace:
    """The classes as they are."""

    create: Any = staticmethod(Vault.create)
    login: Any = staticmethod(Vault.login)
    recover: Any = staticmethod(Vault.recover)
    open: Any = staticmethod(Vault.open)
    register_developer: Any = staticmethod(register_developer)
    register_app: Any = staticmethod(App.register)
    load_app: Any = staticmethod(App.load)

    def waiting(self, function: Any) -> Any:
        """It waits already."""
        return function

    def unwrapped(self, thing: Any) -> Any:
        """Nothing is wrapped."""
        return thing

    def close(self) -> None:
        """Nothing is held."""


class _Waiting:
    """An asynchronous object whose methods wait for their own ends."""

    def __init__(self, inner: object, face: AsyncFace) -> None:
        self._inner = inner
        self._face = face

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return self._face.waiting(value) if callable(value) else value


class AsyncFace:
    """The asynchronous classes, driven from one private event loop."""

    def __init__(self) -> None:
        """Make the loop."""
        self._loop = asyncio.new_event_loop()
        self.create = self.waiting(AsyncVault.create)
        self.login = self.waiting(AsyncVault.login)
        self.recover = self.waiting(AsyncVault.recover)
        self.open = self.waiting(AsyncVault.open)
        self.register_developer = self.waiting(register_developer_async)
        self.register_app = self.waiting(AsyncApp.register)
        self.load_app = self.waiting(AsyncApp.load)

    def waiting(self, function: Any) -> Any:
        """The function, its result awaited and wrapped."""

        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if inspect.isawaitable(result):
                result = self._loop.run_until_complete(cast("Any", result))
            return self._wrapped(result)

        return call

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, AsyncVault | AsyncApp | AsyncAccess):
            return _Waiting(result, self)
        if type(result) is tuple:
            return tuple(self._wrapped(item) for item in result)
        return result

    def unwrapped(self, thing: Any) -> Any:
        """The asynchronous object."""
        return thing._inner

    def close(self) -> None:
        """Close the loop, and the threads that searched for it."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


FACES: dict[str, type[SyncFace | AsyncFace]] = {"sync": SyncFace, "async": AsyncFace}
