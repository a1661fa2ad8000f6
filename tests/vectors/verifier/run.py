"""Run one case of the vectors through the verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectors.verifier import (
    apps,
    audit,
    changing,
    encoding,
    entering,
    evidence,
    export,
    hpke,
    kept,
    keys,
    noted,
    objects,
    opening,
    proof,
    tree,
    website,
    wire,
)
from vectors.verifier.curves import ed25519_public, ed25519_sign, ed25519_verify
from vectors.verifier.encoding import pae, sha256
from vectors.verifier.lineage import lineage
from vectors.verifier.refusal import ACCEPT, BAD_SIGNATURE, Refused, require
from vectors.verifier.settled import settings, settings_log

if TYPE_CHECKING:
    from collections.abc import Callable

    Values = dict[str, Any]

_hex = bytes.fromhex


def _many(values: list[str]) -> list[bytes]:
    return [_hex(value) for value in values]


def _pae(given: Values) -> Values:
    return {"bytes": pae(given["purpose"], *_many(given["fields"])).hex()}


def _read_pae(given: Values) -> Values:
    fields = encoding.read_pae(given["purpose"], given["count"], _hex(given["bytes"]))
    return {"fields": [field.hex() for field in fields]}


def _parse(given: Values) -> Values:
    return objects.parse(given["kind"], _hex(given["bytes"]))


def _leaf(given: Values) -> Values:
    return objects.parse_leaf(_hex(given["bytes"]))


def _payload(given: Values) -> Values:
    fields = keys.parse_payload(_hex(given["bytes"]))
    return {"names": list(fields), "content": fields["content"]}


def _content_size(given: Values) -> Values:
    keys.content_size(given["size"])
    return {}


def _payload_size(given: Values) -> Values:
    keys.payload_size(given["size"], given["author"])
    return {}


def _pad(given: Values) -> Values:
    return {"size": keys.frame_size(given["size"])}


def _unpad(given: Values) -> Values:
    return {"content": keys.unpad(_hex(given["frame"])).hex()}


def _envelope(given: Values) -> tuple[str, bytes, bytes]:
    return given["purpose"], _hex(given["key"]), _hex(given["header"])


def _seal(given: Values) -> Values:
    sealed = keys.seal(*_envelope(given), _hex(given["plaintext"]), _hex(given["salt"]))
    return {"envelope": sealed.hex()}


def _open(given: Values) -> Values:
    return {"plaintext": keys.open_envelope(*_envelope(given), _hex(given["envelope"])).hex()}


def _shape(given: Values) -> Values:
    keys.envelope_shape(_hex(given["envelope"]))
    return {}


def _unwrap(given: Values) -> Values:
    return {"key": keys.unwrap(*_envelope(given), _hex(given["wrap"])).hex()}


def _give(given: Values) -> Values:
    names = "account_id", "account_key", "grant_id", "grant_key", "memory_id", "memory_key"
    account, account_key, grant, grant_key, memory, memory_key = (_hex(given[n]) for n in names)
    key = keys.kek(account_key, "given", account, given["generation"])
    number = given["key_number"]
    wrap = keys.give(key, account, (grant, grant_key), (memory, number, memory_key))
    return {"wrap": wrap.hex()}


def _derive(given: Values) -> Values:
    key = keys.derive(_hex(given["key"]), given["purpose"], *_many(given["fields"]))
    return {"key": key.hex()}


def _kek(given: Values) -> Values:
    account = _hex(given["account_id"])
    key = keys.kek(_hex(given["account_key"]), given["purpose"], account, given["generation"])
    return {"key": key.hex()}


def _fingerprint(given: Values) -> Values:
    return {"words": keys.fingerprint(_hex(given["hash"]))}


def _write_code(given: Values) -> Values:
    return {"code": keys.write_code(given["kind"], _hex(given["secret"]))}


def _read_code(given: Values) -> Values:
    return {"secret": keys.read_code(given["kind"], given["code"]).hex()}


def _kdf(given: Values) -> Values:
    salt, memory, passes, lanes = keys.check_kdf(_hex(given["kdf"]))
    return {"salt": salt, "memory_kib": memory, "passes": passes, "lanes": lanes}


def _open_keyslot(given: Values) -> Values:
    account = _hex(given["account_id"])
    key = keys.open_keyslot(_hex(given["slot"]), given["origin"], account, given["secrets"])
    return {"account_key": key.hex()}


def _session_name(given: Values) -> Values:
    account_key, account, session, envelope = (
        bytes.fromhex(given[name]) for name in ("account_key", "account_id", "session", "envelope")
    )
    name = keys.open_session_name(account_key, given["generation"], account, session, envelope)
    return {"name": name}


def _identity(given: Values) -> Values:
    account_key, account = _hex(given["account_key"]), _hex(given["account_id"])
    card, envelope = _hex(given["card"]), _hex(given["envelope"])
    seeds = keys.open_identity(account_key, given["generation"], account, card, envelope)
    return {"seeds": seeds.hex()}


def _public_keys(given: Values) -> Values:
    signing, sealing = (
        ed25519_public(_hex(given["signing"])),
        hpke.xwing_public(_hex(given["sealing"])),
    )
    hashed = sha256(pae("identity-keys", signing, sealing))
    return {"signing": signing.hex(), "sealing": sealing.hex(), "hash": hashed.hex()}


def _sign(given: Values) -> Values:
    message = pae("sign/" + given["kind"], _hex(given["message"]))
    return {"signature": ed25519_sign(_hex(given["seed"]), message).hex()}


def _verify(given: Values) -> Values:
    message = pae("sign/" + given["kind"], _hex(given["message"]))
    ed25519_verify(_hex(given["public"]), message, _hex(given["signature"]))
    return {}


def _digest(given: Values) -> Values:
    hashes = sha256(_hex(given["header"])), sha256(_hex(given["envelope"]))
    return {"digest": sha256(pae("record", *hashes)).hex()}


def _root(given: Values) -> Values:
    return {"root": tree.root(_many(given["leaves"])).hex()}


def _inclusion(given: Values) -> Values:
    proof = _many(given["proof"])
    leaf, root = _hex(given["leaf"]), _hex(given["root"])
    tree.verify_inclusion(leaf, given["index"], given["size"], proof, root)
    return {}


def _many_leaves(given: Values) -> Values:
    leaves = {int(index): _hex(leaf) for index, leaf in given["leaves"]}
    tree.verify_many(leaves, given["size"], _many(given["nodes"]), _hex(given["root"]))
    return {}


def _consistency(given: Values) -> Values:
    roots = _hex(given["first_root"]), _hex(given["second_root"])
    proof = _many(given["proof"])
    tree.verify_consistency(given["first"], roots[0], given["second"], roots[1], proof)
    return {}


def _head(given: Values) -> Values:
    head = objects.parse_head(given["note"])
    public, text = _hex(given["public"]), head.pop("text").encode()
    key_id = objects.head_key_id(_hex(head["account_id"]), public)
    require(head.pop("key_id") == key_id.hex(), BAD_SIGNATURE)
    ed25519_verify(public, text, _hex(head.pop("signature")))
    return head


def _evidence(given: Values) -> Values:
    return evidence.judge(given["file"].encode())


def _hpke(given: Values) -> Values:
    sealed, info = _hex(given["sealed"]), _hex(given["info"])
    return {"plaintext": hpke.hpke_open(_hex(given["seed"]), sealed, info).hex()}


def _approval(given: Values) -> Values:
    statement = pae("grant-approval", _hex(given["grant"]), sha256(_hex(given["sealed_key"])))
    signed = pae("sign/grant", statement)
    ed25519_verify(_hex(given["public"]), signed, _hex(given["signature"]))
    info = pae("grant-key", _hex(given["grant"]))
    return {"key": hpke.hpke_open(_hex(given["seed"]), _hex(given["sealed_key"]), info).hex()}


def _homepage(given: Values) -> Values:
    host = website.homepage_host(given["homepage"])
    return {"host": host, "asked": website.is_asked(host)}


def _website_apps(given: Values) -> Values:
    return {"says": website.judge(given["file"].encode(), _hex(given["manifest"]))}


def _compare_words(given: Values) -> Values:
    return {"same": website.same_words(given["typed"], _hex(given["hash"]))}


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
    "envelope-shape": _shape,
    "unwrap": _unwrap,
    "give": _give,
    "derive": _derive,
    "kek": _kek,
    "fingerprint": _fingerprint,
    "write-code": _write_code,
    "read-code": _read_code,
    "kdf": _kdf,
    "open-keyslot": _open_keyslot,
    "open-identity": _identity,
    "open-session-name": _session_name,
    "lineage": lineage,
    "settings": settings,
    "settings-log": settings_log,
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
    "audit": audit.whole,
    "audit-keys": audit.keyed,
    "audit-findings": audit.findings,
    "audit-compare": audit.compare,
    "hpke-open": _hpke,
    "approval": _approval,
    "homepage": _homepage,
    "website-apps": _website_apps,
    "compare-words": _compare_words,
    "read-kek": kept.read_kek,
    "open-index": kept.open_index,
    "open-grant-index": kept.open_grant_index,
    "secret-key-mark": kept.mark,
    "app-messages-key": kept.app_messages_key,
    "exchange-ids": kept.exchange_ids,
    "read-kit": kept.kit,
    "read-export": export.read,
    "open-note": noted.note,
    "note-freshened": noted.freshened,
    "note-text": noted.text,
    "log-record": noted.record,
    "known-seal": noted.known,
    "states-seal": noted.states,
    "enter": opening.enter,
    "open-sign-up": entering.open_sign_up,
    "sign-up": entering.sign_up,
    "check-append": wire.check_append,
    "check-rewraps": changing.check_rewraps,
    "check-wraps": changing.check_wraps,
    "memory-keys": changing.memory_keys,
    "key-change": changing.key_change,
    "check-writing": apps.check_writing,
    "grant-head": apps.grant_head,
    "grant-page": apps.grant_page,
    "sync-page": wire.sync_page,
    "open-record": wire.open_record,
    "check-proof": proof.check,
    "key-thumbprint": proof.thumbprint,
}


def run(operation: str, given: Values) -> tuple[str, Values]:
    """The outcome class, and what came out if it is ``accept``."""
    try:
        return ACCEPT, OPERATIONS[operation](given)
    except Refused as refused:
        return refused.outcome, {}
