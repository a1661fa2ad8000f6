"""What an app can do without the server: the part that ``App`` and ``AsyncApp`` share."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from coffret.indexes import GrantIndexes
from coffret.shelf import own_document, own_info

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret.flows.appstate import AppState
    from coffret.sharing import AppInfo
    from coffret_vault.search import Embedder


class LocalApp:
    """A registered app, by its file. Nothing here makes a request."""

    def __init__(
        self, state: AppState, embedder: Callable[[], Embedder] | None, *, keep_indexes: bool
    ) -> None:
        """Wrap an app's state; ``embedder`` makes the model when search first needs it."""
        self._state = state
        state.last_read.turn = Lock()  # an app is for any thread
        folder = state.path.with_name(f"{state.path.name}.indexes")
        self._indexes = GrantIndexes(embedder, folder, state.owners, keep=keep_indexes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.manifest.name!r}>"

    @property
    def info(self) -> AppInfo:
        """Who this app is; show ``info.fingerprint`` to owners, so that they can compare it."""
        return own_info(self._state)

    @property
    def words(self) -> str:
        """Eight words for this app's keys: show them to owners, who type them when they approve."""
        return self.info.fingerprint

    @property
    def server(self) -> str:
        """The server's address."""
        return self._state.file.origin

    def use_api_key(self, api_key: str) -> None:
        """Work with another API key of this app from now on; it is kept in the app's file.

        Raises:
            InputError: it cannot be an API key.
            StoreError: the file cannot be written; the older key stays.
        """
        self._state.use_api_key(api_key)

    def forget_log(self, request_id: str) -> None:
        """Forget how far the log of a request's owner had come, so that an older one is believed.

        Only when the owner says, not the server, that the server was restored from a backup. What
        is shown next counts as the first that was ever seen; take the grant up anew then
        (``access``), or ask again if the restored server does not know it.

        Raises:
            NotFoundError: this app made no such request.
            StoreError: the app's folder cannot be written.
        """
        self._state.forget_log(request_id)
        self._indexes.forget()  # a version may be another one there

    def manifest_file(self, beside: bytes | None = None) -> bytes:
        """What to serve as ``/.well-known/coffret-app.json`` at the homepage's host.

        Args:
            beside: the file that is there already, whose other apps are to stay in it.

        Raises:
            FormatError: that is no such file, or it names too many apps.
        """
        return own_document(self._state, beside)

    def requests(self) -> Sequence[str]:
        """The ids of every request this app has made from here, oldest first."""
        return self._state.owners.requests()
