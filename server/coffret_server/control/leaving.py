"""An owner deletes their account; and what is known of one that was deleted."""

from hashlib import sha256
from uuid import UUID

from starlette.responses import Response

from coffret_server import bygone, challenges, departing
from coffret_server.control.web import (
    Answer,
    Body,
    Bytes,
    CurrentOwner,
    CurrentServices,
    PathId,
    answer,
    nothing,
    router,
    uuid,
)
from coffret_server.once import spend
from coffret_server.principals import Owner
from coffret_server.problems import SESSION_ENDED, refuse
from coffret_server.purging import purge
from coffret_server.services import Services
from coffret_server.signatures import Verifier
from coffret_server.storage import Tx
from coffret_server.wire import identity

leaving = router("accounts")
_WRONG = "wrong-credentials"
_HOLD = "SELECT card, signing_key FROM accounts WHERE account_id = ?"
_STANDS = "SELECT 1 FROM sessions WHERE account_id = ? AND session_id = ?"
_FIND_SLOT = "SELECT keyslot FROM keyslots WHERE account_id = ? AND slot_id = ?"


class DeletionBody(Body):
    """An owner's signed word, and the same by the login key of one of their keyslots."""

    deletion: Bytes
    signature: Bytes
    login_signature: Bytes


class DeletedAnswer(Answer):
    """An account that was deleted: by its owner, who signed it, or else by the operator."""

    account_id: UUID
    deletion: str | None
    signature: str | None
    erased: bool


@leaving.post("/accounts/me/deletion", status_code=204)
async def delete_account(
    body: DeletionBody, owner: CurrentOwner, services: CurrentServices
) -> Response:
    """Delete the account. It is gone when this answers; its rows are erased from then on."""
    said = identity.parse_deletion(body.deletion)
    now, nonce_key = services.clock(), services.secrets.nonce_key

    async def job(tx: Tx) -> None:
        await _check(tx, services, owner, said, body)
        ends = challenges.nonce_expiry(
            nonce_key, owner.account, said.slot.bytes, said.nonce, services.clock()
        )
        if ends is None or not await spend(tx, owner.account, said.nonce, ends, now):
            refuse(_WRONG, "the challenge is over, or was for something else")
        await departing.depart(tx, owner.account, body.deletion, body.signature, nonce_key, now)
        await purge(tx, "used_nonces", now)

    await services.storage.submit(job)
    services.principals.forget_account(owner.account)
    services.eraser.wake()
    return nothing()


async def _check(
    tx: Tx, services: Services, owner: Owner, said: identity.Deletion, body: DeletionBody
) -> None:
    """Refuse what the account's key and the key of one of its keyslots have not both signed.

    The first shows that it is the account's owner, which no session does; the second that they know
    the passphrase of now, or the recovery code, which an unlocked device need not.
    """
    account = await tx.one(_HOLD + tx.for_update, owner.account)
    if account is None or await tx.one(_STANDS, owner.account, owner.session) is None:
        refuse(*SESSION_ENDED)
    if said.account != owner.account_id or said.origin not in services.origins:
        refuse("invalid-input", "the deletion is of another account, or at another server")
    Verifier(account[1]).verify_kind("account-deletion", body.signature, body.deletion)
    if said.card != sha256(account[0]).digest():
        refuse("invalid-input", "the deletion is of keys that were replaced")
    slot = await tx.one(_FIND_SLOT, owner.account, said.slot.bytes)
    if slot is None:
        refuse(_WRONG, "the account has no such keyslot")
    login_key = identity.parse_keyslot(slot[0]).login_key
    Verifier(login_key).verify_kind("account-deletion", body.login_signature, body.deletion)


@leaving.get("/accounts/{id}/deletion", response_model=DeletedAnswer)
async def read_deletion(account: PathId, services: CurrentServices) -> Response:
    """The owner's word by which an account was deleted, for their other devices."""

    async def job(tx: Tx) -> bygone.Departure | None:
        return await bygone.find(tx, account)

    found = await services.storage.query(job)
    if found is None:
        refuse("not-found", "no account of that id was deleted")
    return answer(
        {
            "account_id": uuid(account),
            "deletion": found.statement or None,
            "signature": found.signature or None,
            "erased": found.erased is not None,
        }
    )
