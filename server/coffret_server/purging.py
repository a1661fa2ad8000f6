"""Rows whose time is over go a few at a time, with calls that add rows of their kind.

So no call does much of it, none waits for another one's, and no table outgrows what is alive in it.
The rows are whoever's: a call purges last, and waits for nothing while it holds them. Of two that
held rows of one another's and then waited for their own, the database would take one back.
"""

from typing import Final, Literal

from coffret_server.storage import Tx

AT_ONCE: Final = 100
"""Rows that one call deletes at most; it adds three at most."""
Table = Literal["idempotency", "login_failures", "sessions", "used_nonces"]
_OVER: Final[dict[Table, str]] = {
    "idempotency": (
        "DELETE FROM idempotency WHERE (caller, key_hash) IN"
        " (SELECT caller, key_hash FROM idempotency WHERE created < ? ORDER BY created LIMIT ?"
    ),
    "login_failures": (
        "DELETE FROM login_failures WHERE subject IN"
        " (SELECT subject FROM login_failures WHERE whole < ? ORDER BY whole LIMIT ?"
    ),
    "sessions": (
        "DELETE FROM sessions WHERE (account_id, session_id) IN"
        " (SELECT account_id, session_id FROM sessions WHERE expires < ? ORDER BY expires LIMIT ?"
    ),
    "used_nonces": (
        "DELETE FROM used_nonces WHERE (account_id, nonce) IN"
        " (SELECT account_id, nonce FROM used_nonces WHERE expires < ? ORDER BY expires LIMIT ?"
    ),
}


async def purge(tx: Tx, table: Table, now: int) -> None:
    """Delete the oldest rows that are over at `now`; those that another call is about stay."""
    skip = f"{tx.for_update} SKIP LOCKED" if tx.for_update else ""
    await tx.run(_OVER[table] + skip + ")", now, AT_ONCE)
