"""Run one case of how a vault begins through the SDK."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from coffret.flows.begun import _decode_said, read_file
from coffret_vault.keyslots.sign_ups import open_sign_up as open_sealed
from coffret_vault.keyslots.sign_ups import sign_up_header, sign_up_key
from coffret_vault.keyslots.slots import Place
from coffret_vault.store import decoded

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


OPERATIONS = {"open-sign-up": open_sign_up}
