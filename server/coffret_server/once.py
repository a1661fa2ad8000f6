"""What works once in all processes of a server: it is kept for as long as it could be tried again.

That is the nonce of a login, and the proof of a call whose repetition, a little later, could undo
what came in between. Other proofs are kept in mind by the process that took them alone (see
docs/adr/0024).
"""

from typing import Final

from coffret_server.storage import Tx

PROOF_KEPT: Final = 120_000_000
"""µs for which a proof is kept: longer than it is good, by any clock that is right to a minute."""
_SPEND: Final = (
    "INSERT INTO used_nonces (account_id, nonce, expires) VALUES (?, ?, ?)"
    " ON CONFLICT (account_id, nonce) DO UPDATE SET expires = excluded.expires"
    " WHERE used_nonces.expires < ? RETURNING 1"
)


async def spend(tx: Tx, account: bytes, value: bytes, expires: int, now: int) -> bool:
    """Let a nonce or a proof work, if it never did; whoever does this purges at the end."""
    return await tx.one(_SPEND, account, value, expires, now) is not None


def of_new_account(account: bytes) -> bytes:
    """Who an account is, among callers whose calls are kept to be repeated, while it is made."""
    return b"new:" + account
