"""Who is calling: an owner by a session token, an app by a JWT, a developer by a key.

What a token was found to be is remembered for at most a minute. That its session, or its API key,
was not ended since is looked up each time, by its primary key: what ends in one process has ended
in all of them. An append looks it up with the state of the log (see `coffret_server.rows`).
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from coffret_server import tokens
from coffret_server.append import Vault
from coffret_server.noting import note
from coffret_server.problems import SESSION_ENDED, ProblemError, refuse
from coffret_server.proofs import thumbprint
from coffret_server.signatures import Verifier
from coffret_server.storage import Storage, Tx

REMEMBERED: Final = 60_000_000
SEEN_EVERY: Final = 300_000_000
SECOND: Final = 1_000_000
_LIMIT: Final = 50_000
_SESSION: Final = tokens.SESSION + "_"
_FIND_SESSION: Final = (
    "SELECT s.session_id, s.expires, s.last_seen, a.signing_key, s.session_key FROM sessions s"
    " JOIN accounts a ON a.account_id = s.account_id"
    " WHERE s.account_id = ? AND s.token_hash = ?"
)
_SESSION_STANDS: Final = (
    "SELECT a.signing_key FROM sessions s JOIN accounts a ON a.account_id = s.account_id"
    " WHERE s.account_id = ? AND s.session_id = ?"
)
KEY_STANDS: Final = "SELECT 1 FROM api_keys WHERE app_id = ? AND key_id = ?"
_FIND_APP: Final = (
    "SELECT a.signing_key, a.manifest_digest, k.scopes FROM api_keys k"
    " JOIN apps a ON a.app_id = k.app_id WHERE k.app_id = ? AND k.key_id = ?"
)


class Owner(msgspec.Struct, frozen=True):
    """The owner of a vault, on one of their devices; `holder` verifies the session's proofs."""

    account: bytes
    account_id: UUID
    session: bytes
    vault: Vault
    holder: Verifier


class AppCaller(msgspec.Struct, frozen=True):
    """A developer's app.

    Attributes:
        app: its id.
        app_id: the same.
        key: the API key that it came with.
        holder: verifies by its registered key.
        manifest_digest: of the manifest that it was registered with.
        scopes: what the API key is good for.
    """

    app: bytes
    app_id: UUID
    key: UUID
    holder: Verifier
    manifest_digest: bytes
    scopes: frozenset[str]


class _Known(msgspec.Struct, frozen=True):
    caller: Owner | AppCaller
    until: int


def came_with(caller: Owner | AppCaller) -> bytes:
    """The session or the API key whose end is the end of its tokens."""
    return caller.session if isinstance(caller, Owner) else caller.key.bytes


class Principals:
    """Tokens, checked against the database and remembered for a short while."""

    def __init__(
        self, storage: Storage, jwt_key: bytes, mark_key: bytes, clock: Callable[[], int]
    ) -> None:
        """See the module.

        Args:
            storage: the database.
            jwt_key: by which apps' tokens are signed.
            mark_key: by which sessions' tokens are marked.
            clock: µs since 1970.
        """
        self._storage = storage
        self._jwt_key = jwt_key
        self._mark_key = mark_key
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._ended = 0

    def remembered(self, token: str) -> Owner | AppCaller | None:
        """Who it was within the last minute; whether it still is has to be looked up."""
        known = self._known.get(token)
        if known is None or known.until <= self._clock():
            return None
        return known.caller

    async def standing(self, token: str) -> Owner | AppCaller | None:
        """Who it is, if that is remembered and nothing was ended or changed since."""
        known = self.remembered(token)
        if known is None or await self._stands(known):
            return known
        self._known.pop(token, None)
        return None

    async def _stands(self, caller: Owner | AppCaller) -> bool:
        if isinstance(caller, AppCaller):
            return await self._storage.one(KEY_STANDS, caller.app, caller.key.bytes) is not None
        row = await self._storage.one(_SESSION_STANDS, caller.account, caller.session)
        return row is not None and row[0] == caller.vault.verifier.public_key

    def is_ours(self, token: str) -> bool:
        """Whether this server gave a token out, be it over or not: nobody can guess one."""
        if token.startswith(_SESSION):
            return tokens.is_marked(self._mark_key, tokens.SESSION, token)
        try:
            tokens.read_app_token(self._jwt_key, token)
        except ProblemError:
            return False
        return True

    async def caller(self, token: str) -> Owner | AppCaller:
        """Who it is, looked up.

        Raises:
            ProblemError: `unauthenticated`, or `session-ended`.
        """
        return await (self._owner(token) if token.startswith(_SESSION) else self._app(token))

    def forget(self, ended: bytes) -> None:
        """Look the tokens of a session or an API key up again, which was ended."""
        self._ended += 1
        self._known = {
            token: known for token, known in self._known.items() if came_with(known.caller) != ended
        }

    def forget_account(self, account: bytes) -> None:
        """Look the tokens of an account's owner up again, whose keys were changed."""
        self._ended += 1
        self._known = {
            token: known
            for token, known in self._known.items()
            if not (isinstance(known.caller, Owner) and known.caller.account == account)
        }

    def _remember(self, token: str, caller: Owner | AppCaller, ends: int, looked_up: int) -> None:
        """Remember who it is, unless something ended since it was looked up: it may be this."""
        if looked_up != self._ended:
            return
        if len(self._known) >= _LIMIT:
            self._known.clear()
        self._known[token] = _Known(caller, min(ends, self._clock() + REMEMBERED))

    async def _owner(self, token: str) -> Owner:
        given = tokens.read(self._mark_key, tokens.SESSION, token)
        if given.is_marked and given.ends <= self._clock():  # its row may be gone: it says so
            raise tokens.unauthenticated()
        account, token_hash = given.owner, given.digest
        looked_up = self._ended

        async def find(tx: Tx) -> tuple[bytes, int, int, bytes, bytes] | None:
            row = await tx.one(_FIND_SESSION, account, token_hash)
            return None if row is None else (row[0], row[1], row[2], row[3], row[4])

        row = await self._storage.query(find)
        now = self._clock()
        if row is None:
            refuse(*SESSION_ENDED)
        if row[1] <= now:
            raise tokens.unauthenticated()
        session, expires, seen, signing_key, holder = row
        if now - seen > SEEN_EVERY:
            await self._see(account, session, now)
        uuid = UUID(bytes=account)
        vault = Vault.of(uuid, Verifier(signing_key))
        owner = Owner(account, uuid, session, vault, Verifier(holder))
        self._remember(token, owner, expires, looked_up)
        return owner

    async def _see(self, account: bytes, session: bytes, now: int) -> None:
        async def mark(tx: Tx) -> None:
            await tx.run(
                "UPDATE sessions SET last_seen = ? WHERE account_id = ? AND session_id = ?",
                now,
                account,
                session,
            )

        await note(self._storage, mark)

    async def _app(self, token: str) -> AppCaller:
        given = tokens.read_app_token(self._jwt_key, token)
        if given.ends <= self._clock() / SECOND:
            raise tokens.unauthenticated()
        app_id, key, looked_up = given.app, given.api_key, self._ended

        async def find(tx: Tx) -> tuple[bytes, bytes, str] | None:
            row = await tx.one(_FIND_APP, app_id.bytes, key.bytes)
            return None if row is None else (row[0], row[1], row[2])

        row = await self._storage.query(find)
        if row is None or given.bound_to != thumbprint(row[0]):
            raise tokens.unauthenticated()
        app = AppCaller(
            app_id.bytes, app_id, key, Verifier(row[0]), row[1], frozenset(row[2].split())
        )
        self._remember(token, app, given.ends * SECOND, looked_up)
        return app
