"""Who is calling: an owner by a session token, an app by a JWT, a developer by a key.

A token that was found good is remembered for at most a minute, so that a session ended or an API
key taken back in another process is refused here a minute later, and in this process at once.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from coffret_server import tokens
from coffret_server.append import Vault
from coffret_server.problems import ProblemError
from coffret_server.proofs import thumbprint
from coffret_server.signatures import Verifier
from coffret_server.storage import Storage, Tx

REMEMBERED: Final = 60_000_000
SEEN_EVERY: Final = 300_000_000
SECOND: Final = 1_000_000
_LIMIT: Final = 50_000
_FIND_SESSION: Final = (
    "SELECT s.session_id, s.expires, s.last_seen, a.signing_key, s.session_key FROM sessions s"
    " JOIN accounts a ON a.account_id = s.account_id"
    " WHERE s.account_id = ? AND s.token_hash = ?"
)
_FIND_APP: Final = (
    "SELECT a.signing_key, a.keys_hash, k.scopes FROM api_keys k"
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
        keys_hash: of its public keys.
        scopes: what the API key is good for.
    """

    app: bytes
    app_id: UUID
    key: UUID
    holder: Verifier
    keys_hash: bytes
    scopes: frozenset[str]


class _Known(msgspec.Struct, frozen=True):
    caller: Owner | AppCaller
    until: int


def _came_with(caller: Owner | AppCaller) -> bytes:
    """The session or the API key whose end is the end of its tokens."""
    return caller.session if isinstance(caller, Owner) else caller.key.bytes


class Principals:
    """Tokens, checked against the database and remembered for a short while."""

    def __init__(self, storage: Storage, jwt_key: bytes, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._jwt_key = jwt_key
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._ended = 0

    def remembered(self, token: str) -> Owner | AppCaller | None:
        """Who it is, if that was checked within the last minute."""
        known = self._known.get(token)
        if known is None or known.until <= self._clock():
            return None
        return known.caller

    async def caller(self, token: str) -> Owner | AppCaller:
        """Who it is.

        Raises:
            ProblemError: `unauthenticated`.
        """
        found = self.remembered(token)
        if found is None:
            is_session = token.startswith(tokens.SESSION + "_")
            found = await (self._owner(token) if is_session else self._app(token))
        return found

    def forget(self, ended: bytes) -> None:
        """Look the tokens of a session or an API key up again, which was ended."""
        self._ended += 1
        self._known = {
            token: known
            for token, known in self._known.items()
            if _came_with(known.caller) != ended
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
        account, token_hash = tokens.read(tokens.SESSION, token)
        looked_up = self._ended

        async def find(tx: Tx) -> tuple[bytes, int, int, bytes, bytes] | None:
            row = await tx.one(_FIND_SESSION, account, token_hash)
            return None if row is None else (row[0], row[1], row[2], row[3], row[4])

        row = await self._storage.query(find)
        now = self._clock()
        if row is None:
            code = "session-ended"
            raise ProblemError(code, "the session was ended; log in again")
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

        await self._storage.submit(mark)

    async def _app(self, token: str) -> AppCaller:
        given = tokens.read_app_token(self._jwt_key, token, self._clock() / SECOND)
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
