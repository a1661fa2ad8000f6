"""Run one case of how a vault begins through the SDK."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from coffret.flows.begun import _decode_said, read_file
from coffret.flows.http import Response
from coffret.flows.signup import Entered, enter_with_passphrase, enter_with_recovery
from coffret.flows.state import Ambient
from coffret_vault.keyslots.sign_ups import open_sign_up as open_sealed
from coffret_vault.keyslots.sign_ups import sign_up_header, sign_up_key
from coffret_vault.keyslots.slots import Place
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import decoded

if TYPE_CHECKING:
    from coffret.flows.http import Flow

Values = dict[str, Any]


def open_sign_up(given: Values) -> Values:
    """What was kept of a sign-up."""
    file = read_file(bytes.fromhex(given["file"]))
    place = Place(file.origin, file.account_id)
    key = sign_up_key(given["passphrase"], place, file.kdf)
    header = sign_up_header(place, file.username, file.kdf)
    said = decoded(_decode_said, open_sealed(key, header, file.sealed))
    return {
        "origin": file.origin,
        "username": file.username,
        "account_id": file.account_id.hex(),
        "call": said.once.hex(),
        "secret_key": said.secret_key.hex(),
        "recovery_code": said.recovery_code.hex(),
        "body": sha256(said.body).hexdigest(),
    }


def enter(given: Values) -> Values:
    """A vault, from what a server answers: the flow is run with these answers and no network."""
    secrets, name = given["secrets"], given["username"]
    ambient = Ambient()
    if "recovery_code" in secrets:
        code = SecretBytes(bytes.fromhex(secrets["recovery_code"]))
        flow = enter_with_recovery(given["origin"], name, code, ambient)
    else:
        key = SecretBytes(bytes.fromhex(secrets["secret_key"]))
        flow = enter_with_passphrase(given["origin"], name, secrets["passphrase"], key, ambient)
    answers = {
        "/auth/challenge": given["challenge"],
        "/auth/login": '{"token": "cfs_token"}',
        "/accounts/me": given["account"],
    }
    entered = _run(flow, answers)
    return {
        "account_id": entered.place.account_id.hex(),
        "generation": entered.account.generation,
        "keys_hash": entered.keys.identity.keys_hash.hex(),
        "account_key": entered.keys.keyring.account_key().reveal().hex(),
    }


def _run(flow: Flow[Entered], answers: dict[str, str]) -> Entered:
    try:
        request = next(flow)
        while True:
            if request.aside is not None:
                request.aside()
                request = flow.send(Response(204, {}, b""))
            else:
                request = flow.send(Response(200, {}, answers[request.path].encode()))
    except StopIteration as ended:
        entered: Entered = ended.value
        return entered


OPERATIONS = {"enter": enter, "open-sign-up": open_sign_up}
