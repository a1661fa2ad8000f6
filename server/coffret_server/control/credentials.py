"""Whether a login is right: signed by the key of a keyslot, over a nonce of ours, once."""

from functools import cache
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from coffret_server import challenges
from coffret_server.control.web import Body, Bytes, Id
from coffret_server.once import spend
from coffret_server.problems import ProblemError
from coffret_server.services import Services
from coffret_server.signatures import Verifier
from coffret_server.storage import Tx
from coffret_server.wire import pae
from coffret_server.wire.identity import LOGIN, SALT_SIZE, login_key_of

_NAME_LIMIT: Final = 256
"""Of a device's name, which is sealed: nothing is made of it here."""
_FIND_SLOT_OR_NEXT: Final = (
    "SELECT * FROM (SELECT account_id, slot_id, keyslot FROM keyslots"
    " WHERE (account_id, slot_id) >= (?, ?) ORDER BY account_id, slot_id LIMIT 1) b"
    " UNION ALL"
    " SELECT * FROM (SELECT account_id, slot_id, keyslot FROM keyslots"
    " ORDER BY account_id, slot_id LIMIT 1) c LIMIT 1"
)
_FIND_SLOT: Final = "SELECT keyslot FROM keyslots WHERE account_id = ? AND slot_id = ?"
_HOLD_ACCOUNT: Final = "SELECT 1 FROM accounts WHERE account_id = ?"


class LoginBody(Body):
    """A signed challenge."""

    account_id: Id
    slot_id: Id
    nonce: Bytes
    session_public_key: Bytes
    signature: Bytes
    name: Annotated[Bytes, Field(max_length=_NAME_LIMIT)] | None = None


async def is_right(tx: Tx, services: Services, body: LoginBody, now: int) -> bool:
    """Whether a login is signed by the key of its keyslot, over a nonce of ours, for once.

    Raises:
        ProblemError: `unavailable`: it is, and keys or keyslots of the account are being changed.
    """
    key, place = services.secrets.nonce_key, (body.account_id, body.slot_id)
    nonce_ends = challenges.nonce_expiry(key, *place, body.nonce, now)
    found = await tx.one(_FIND_SLOT_OR_NEXT, *place)
    slot = found[2] if found is not None and (found[0], found[1]) == place else None
    login_key = login_key_of(slot or _decoy())
    is_signed = _is_signed(services, login_key, body)
    if not is_signed or slot is None or nonce_ends is None:
        return False
    # What a change of keys or passphrase ends, or leaves behind, must not begin anew behind it; and
    # a change may take minutes. To wait for it, with the counts of this network in hand, would keep
    # everybody there from logging in, and with a connection in hand everybody else as well.
    if await tx.one(_HOLD_ACCOUNT + _unless_changing(tx), body.account_id) is None:
        code, detail = "unavailable", "the account is being changed: try again in a moment"
        raise ProblemError(code, detail, retry_after=1)
    still = await tx.one(_FIND_SLOT, *place)
    if still is None or still[0] != slot:
        return False
    return await spend(tx, body.account_id, body.nonce, nonce_ends, now)


def _unless_changing(tx: Tx) -> str:
    """What holds an account against its change, and finds none that is being changed.

    Two logins, or a login and an app that asks, do not shut one another out.
    """
    return " FOR KEY SHARE SKIP LOCKED" if tx.for_update else ""


@cache
def _decoy() -> bytes:
    """A keyslot that nobody has: an unknown one costs a parse and a verification too."""
    return challenges.stand_in(UUID(int=0), UUID(int=0), "passphrase", bytes(SALT_SIZE))


def _is_signed(services: Services, login_key: bytes, body: LoginBody) -> bool:
    """Whether the login statement for one of our origins is signed."""
    try:
        verifier = Verifier(login_key)
        Verifier(pae.read_fixed(body.session_public_key, pae.KEY_SIZE))
    except ProblemError:
        return False
    for origin in services.origins:
        statement = LOGIN.build(
            origin.encode(), body.account_id, body.slot_id, body.nonce, body.session_public_key
        )
        try:
            verifier.verify_kind("login", body.signature, statement)
        except ProblemError:
            continue
        return True
    return False
