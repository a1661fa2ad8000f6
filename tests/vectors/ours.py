"""Run one case of the vectors through ``coffret_vault``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope import open_envelope, seal, unwrap_key
from coffret_vault.envelope.signature import sign_statement, verify_head, verify_statement
from coffret_vault.errors import CoffretError, FormatError
from coffret_vault.formats.account import ACCOUNT_CARD, KDF, KEYSLOT, PASSPHRASE
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.codes import read_code, write_code
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.memory import (
    MAX_OWN_PAYLOAD,
    MAX_PAYLOAD,
    Kek,
    Payload,
    Peek,
    parse_payload,
    record_digest,
    serialize_payload,
)
from coffret_vault.formats.padding import pad, unpad
from coffret_vault.formats.pae import pae, read_pae
from coffret_vault.formats.settings import parse_settings, serialize_settings
from coffret_vault.formats.sharing import grant_approval, grant_key_info
from coffret_vault.grants.given import give_key
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring import Keyring, open_identity
from coffret_vault.keyring.keyring import identity_from_seeds
from coffret_vault.keyslots.kdf import PUBLISHED
from coffret_vault.keyslots.session_names import open_session_name
from coffret_vault.keyslots.slots import (
    Place,
    derive,
    derive_passphrase_keys,
    derive_recovery_keys,
    open_keyslot,
)
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.lineage import Step, verify_lineage
from coffret_vault.log.settled import Settled, pack_settled, settle, unpack_settled
from coffret_vault.log.tree import (
    Frontier,
    leaf_hash,
    verify_batch,
    verify_consistency,
    verify_inclusion,
)
from coffret_vault.primitives.identity import SealingKey, SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.seal import Wrapping
from vectors import (
    ours_apps,
    ours_audit,
    ours_entering,
    ours_export,
    ours_kept,
    ours_noted,
    ours_website,
    ours_wire,
)
from vectors.making.samples import LAYOUTS, seeds, show

if TYPE_CHECKING:
    from collections.abc import Callable

    Values = dict[str, Any]

_hex = bytes.fromhex
NOT_HERE = frozenset(
    (
        *("envelope-shape", "sign-up", "check-append", "check-writing"),
        *("check-proof", "key-thumbprint", "check-rewraps", "check-wraps", "key-change"),
    )
)
"""What only the server does (test_server.py)."""


def _many(values: list[str]) -> list[bytes]:
    return [_hex(value) for value in values]


def _key(value: str) -> SecretBytes:
    return SecretBytes(_hex(value))


def _pae(given: Values) -> Values:
    return {"bytes": pae(given["purpose"], *_many(given["fields"])).hex()}


def _read_pae(given: Values) -> Values:
    fields = read_pae(given["purpose"], given["count"], _hex(given["bytes"]))
    return {"fields": [field.hex() for field in fields]}


def _parse(given: Values) -> Values:
    layout, data = LAYOUTS[given["kind"]], _hex(given["bytes"])
    value = layout.parse(data)
    assert layout.serialize(value) == data
    shown: Values = show(value)
    return shown


def _leaf(given: Values) -> Values:
    leaf = parse_leaf(_hex(given["bytes"]))
    assert leaf.message + leaf.signature == _hex(given["bytes"])
    shown: Values = show(leaf.entry)
    return shown | {"signature": leaf.signature.hex()}


def _payload(given: Values) -> Values:
    payload = parse_payload(_hex(given["bytes"]))
    assert serialize_payload(payload) == _hex(given["bytes"])
    return {"names": list(msgspec.to_builtins(payload)), "content": payload.content}


def _content_size(given: Values) -> Values:
    serialize_payload(Payload(format=1, content="x" * given["size"]))
    return {}


def _payload_size(given: Values) -> Values:
    """A payload of that many bytes, made of content and a summary, is written and read."""
    most = MAX_OWN_PAYLOAD if given["author"] == "owner" else MAX_PAYLOAD
    least = Payload(format=1, content="x", summary="x" * (1 << 20))
    more = given["size"] - len(serialize_payload(least))
    payload = msgspec.structs.replace(least, summary=least.summary + "x" * more)
    data = serialize_payload(payload, most)
    assert len(data) == given["size"]
    assert parse_payload(data, most) == payload
    return {}


def _pad(given: Values) -> Values:
    return {"size": len(pad(bytes(given["size"])))}


def _unpad(given: Values) -> Values:
    return {"content": unpad(_hex(given["frame"])).hex()}


def _envelope(given: Values) -> tuple[str, SecretBytes, bytes]:
    return given["purpose"], _key(given["key"]), _hex(given["header"])


def _seal(given: Values) -> Values:
    salt, plaintext = _hex(given["salt"]), _hex(given["plaintext"])
    return {"envelope": seal(*_envelope(given), plaintext, random=lambda _: salt).hex()}


def _open(given: Values) -> Values:
    return {"plaintext": open_envelope(*_envelope(given), _hex(given["envelope"])).hex()}


def _unwrap(given: Values) -> Values:
    return {"key": unwrap_key(*_envelope(given), _hex(given["wrap"])).reveal().hex()}


def _give(given: Values) -> Values:
    subject = Peek(_hex(given["account_id"]), _hex(given["memory_id"]), 1, given["key_number"])
    wrapping = Wrapping(Kek(grant_id=_hex(given["grant_id"])), _key(given["grant_key"]))
    wrap = give_key(_keyring(given), subject, _key(given["memory_key"]), wrapping)
    return {"wrap": wrap.hex()}


def _derive(given: Values) -> Values:
    key = derive(_hex(given["key"]), given["purpose"], *_many(given["fields"]))
    return {"key": key.reveal().hex()}


def _keyring(given: Values) -> Keyring:
    account_id, generation = _hex(given["account_id"]), given["generation"]
    return Keyring(account_id, generation, _key(given["account_key"]))


def _kek(given: Values) -> Values:
    return {"key": _keyring(given).kek(given["purpose"]).reveal().hex()}


def _fingerprint(given: Values) -> Values:
    return {"words": fingerprint(_hex(given["hash"]))}


def _write_code(given: Values) -> Values:
    return {"code": write_code(given["kind"], _hex(given["secret"]))}


def _read_code(given: Values) -> Values:
    return {"secret": read_code(given["kind"], given["code"]).hex()}


def _kdf(given: Values) -> Values:
    kdf = KDF.decode(_hex(given["kdf"]))
    if kdf is None:
        raise FormatError
    shown: Values = msgspec.to_builtins(PUBLISHED.check(kdf), builtin_types=(bytes,))
    return shown | {"salt": kdf.salt.hex()}


def _open_keyslot(given: Values) -> Values:
    slot, secrets = KEYSLOT.parse(_hex(given["slot"])), given["secrets"]
    place = Place(given["origin"], _hex(given["account_id"]))
    if slot.kind == PASSPHRASE and slot.kdf is not None:
        secret_key = _key(secrets["secret_key"])
        keys = derive_passphrase_keys(secrets["passphrase"], secret_key, place, slot.kdf)
    else:
        keys = derive_recovery_keys(_key(secrets["recovery_code"]), place)
    return {"account_key": open_keyslot(keys, place, slot).reveal().hex()}


def _open_identity(given: Values) -> Values:
    card = ACCOUNT_CARD.parse(_hex(given["card"]))
    opened = open_identity(_keyring(given), card, _hex(given["envelope"]))
    known = seeds("owner")
    assert opened.keys_hash == identity_from_seeds(known).keys_hash
    return {"seeds": known.hex()}


def _open_session_name(given: Values) -> Values:
    session, envelope = _hex(given["session"]), _hex(given["envelope"])
    return {"name": open_session_name(_keyring(given), session, envelope)}


def _public_keys(given: Values) -> Values:
    pair = identity_from_seeds(_hex(given["signing"]) + _hex(given["sealing"]))
    publics = {"signing": pair.signing.public.hex(), "sealing": pair.sealing.public.hex()}
    return publics | {"hash": pair.keys_hash.hex()}


def _sign(given: Values) -> Values:
    key = SigningKey(_key(given["seed"]))
    return {"signature": sign_statement(key, given["kind"], _hex(given["message"])).hex()}


def _verify(given: Values) -> Values:
    message, signature = _hex(given["message"]), _hex(given["signature"])
    verify_statement(_hex(given["public"]), given["kind"], message, signature)
    return {}


def _digest(given: Values) -> Values:
    return {"digest": record_digest(_hex(given["header"]), _hex(given["envelope"])).hex()}


def _root(given: Values) -> Values:
    frontier = Frontier()
    for leaf in _many(given["leaves"]):
        frontier.append(leaf)
    return {"root": frontier.root().hex()}


def _inclusion(given: Values) -> Values:
    proof, root = _many(given["proof"]), _hex(given["root"])
    verify_inclusion(_hex(given["leaf"]), given["index"], given["size"], proof, root)
    return {}


def _many_leaves(given: Values) -> Values:
    hashes = {index: leaf_hash(_hex(leaf)) for index, leaf in given["leaves"]}
    verify_batch(hashes, given["size"], _many(given["nodes"]), _hex(given["root"]))
    return {}


def _consistency(given: Values) -> Values:
    roots = _hex(given["first_root"]), _hex(given["second_root"])
    proof = _many(given["proof"])
    verify_consistency(given["first"], roots[0], given["second"], roots[1], proof)
    return {}


def _head(given: Values) -> Values:
    signed = parse_head(given["note"])
    shown: Values = show(verify_head(_hex(given["public"]), signed))
    return shown | {"digest": signed.digest.hex()}


def _evidence(given: Values) -> Values:
    found = verify_evidence(given["file"].encode())
    return {
        "kind": found.verdict.kind,
        "proven": found.verdict.proven,
        "username": found.card.username,
        "held": found.held.size,
        "shown": found.shown.size,
    }


def _hpke(given: Values) -> Values:
    key, sealed = SealingKey(_key(given["seed"])), _hex(given["sealed"])
    return {"plaintext": key.open(sealed, _hex(given["info"])).reveal().hex()}


def _approval(given: Values) -> Values:
    statement, sealed = _hex(given["grant"]), _hex(given["sealed_key"])
    approval, signature = grant_approval(statement, sealed), _hex(given["signature"])
    verify_statement(_hex(given["public"]), "grant", approval, signature)
    key = SealingKey(_key(given["seed"]))
    return {"key": key.open(sealed, grant_key_info(statement)).reveal().hex()}


def _lineage(given: Values) -> Values:
    first = parse_leaf(_hex(given["account"])).entry.digest
    rotations = [
        (item["index"], parse_leaf(_hex(item["entry"])).entry) for item in given["rotations"]
    ]
    steps = [
        Step(*(_hex(step[name]) for name in ("succession", "signature", "card")))
        for step in given["steps"]
    ]
    reigns = verify_lineage(first, rotations, steps, _hex(given["card"]))
    return {"reigns": [{"until": reign.until, "card": reign.card.hex()} for reign in reigns]}


def _settings(given: Values) -> Values:
    found = parse_settings(_hex(given["bytes"]))
    assert serialize_settings(found) == _hex(given["bytes"])
    return {"sealed": found.sealed, "others": found.others.hex()}


def _settings_log(given: Values) -> Values:
    found = settle(Settled(), (parse_leaf(_hex(raw)).entry for raw in given["entries"]))
    assert unpack_settled(pack_settled(found)) == found
    switches = serialize_settings(found.settings).hex()
    return {"version": found.version, **_settings({"bytes": switches})}


OPERATIONS: dict[str, Callable[[Values], Values]] = {
    "pae": _pae,
    "read-pae": _read_pae,
    "parse": _parse,
    "leaf": _leaf,
    "payload": _payload,
    "content-size": _content_size,
    "payload-size": _payload_size,
    "pad": _pad,
    "unpad": _unpad,
    "seal": _seal,
    "open": _open,
    "unwrap": _unwrap,
    "give": _give,
    "derive": _derive,
    "kek": _kek,
    "fingerprint": _fingerprint,
    "write-code": _write_code,
    "read-code": _read_code,
    "kdf": _kdf,
    "open-keyslot": _open_keyslot,
    "open-identity": _open_identity,
    "open-session-name": _open_session_name,
    "lineage": _lineage,
    "settings": _settings,
    "settings-log": _settings_log,
    "public-keys": _public_keys,
    "sign": _sign,
    "verify": _verify,
    "record-digest": _digest,
    "tree-root": _root,
    "inclusion": _inclusion,
    "many-leaves": _many_leaves,
    "consistency": _consistency,
    "head": _head,
    "evidence": _evidence,
    "hpke-open": _hpke,
    "approval": _approval,
    **ours_apps.OPERATIONS,
    **ours_audit.OPERATIONS,
    **ours_entering.OPERATIONS,
    **ours_export.OPERATIONS,
    **ours_kept.OPERATIONS,
    **ours_noted.OPERATIONS,
    **ours_website.OPERATIONS,
    **ours_wire.OPERATIONS,
}


_CLASSES = {
    "wrong-credentials": "cannot-open",
    "index-damaged": "cannot-open",
    "store-damaged": "malformed",
    "import-damaged": "malformed",
    "import-unknown": "unknown-setting",
    "store-altered": "untrustworthy",
    "invalid-input": "malformed",
}


def run(operation: str, given: Values) -> tuple[str, Values]:
    """The outcome class, and what came out if it is ``accept``.

    Some errors are of a class with another name: the page with the classes says so.
    """
    try:
        return "accept", OPERATIONS[operation](given)
    except CoffretError as error:
        return _CLASSES.get(error.code, error.code), {}
