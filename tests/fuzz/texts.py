"""What is text: codes, heads, evidence, audit files, websites' files, kits, addresses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from coffret_server.problems import ProblemError
from coffret_server.wire.log import parse_head as parse_head_on_server
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import BadSignatureError, FormatError, InputError
from coffret_vault.formats.account import ACCOUNT_CARD, normal_origin
from coffret_vault.formats.checkpoint import Head, head_text, join_note, parse_head
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code, write_code
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.grants.apps import Signed
from coffret_vault.grants.domain import app_document, read_app_document
from coffret_vault.log import evidence
from coffret_vault.log.evidence import Subject
from coffret_vault.log.tree import Frontier, inclusion_proof, leaf_hash, root_of
from fuzz.choosing import Choices, short
from fuzz.target import Target, agreed, given_of
from vectors.making.audit import LIFE, Said, leaf, whole
from vectors.making.samples import ACCOUNT_ID, APP_KEYS, CARD, ORIGIN, OWNER_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.formats.checkpoint import SignedHead

_KINDS = (SECRET_KEY, RECOVERY_CODE)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# -- codes, words, names --------------------------------------------------------------------------


def _check_code(data: bytes) -> None:
    """Both readers agree on a code, and the secret's own code gives the same secret."""
    choices = Choices(data)
    kind, text = _KINDS[choices.number() % 2], _text(choices.rest())
    if text is None:
        return
    if agreed("read-code", {"kind": kind, "code": text}) is not None:
        secret = read_code(kind, text)
        assert read_code(kind, write_code(kind, secret)) == secret


def _code_seeds() -> Iterator[bytes]:
    for given in given_of("codes", "read-code"):
        yield bytes([_KINDS.index(given["kind"])]) + given["code"].encode()


def _check_words(data: bytes) -> None:
    """Both readers agree whether typed words are those of a hash."""
    choices = Choices(data)
    digest, text = choices.fixed(32), _text(choices.rest())
    if text is not None:
        agreed("compare-words", {"hash": digest.hex(), "typed": text})


def _words_seeds() -> Iterator[bytes]:
    for given in given_of("words", "compare-words"):
        yield bytes.fromhex(given["hash"]) + given["typed"].encode()


def _check_names(data: bytes) -> None:
    """Homepages, origins and ids: one error each, one form each, and both readers agree."""
    text = _text(data)
    if text is None:
        return
    agreed("homepage", {"homepage": text})
    try:
        origin = normal_origin(text)
    except InputError:
        pass
    else:
        assert normal_origin(origin) == origin
    with contextlib.suppress(FormatError):
        assert id_text(parse_id(text)) == text


def _names_seeds() -> Iterator[bytes]:
    yield from (given["homepage"].encode() for given in given_of("homepage", "homepage"))
    yield from (b"http://[::1]:8440/", b"https://vault.example:443", id_text(ACCOUNT_ID).encode())


def _check_kit(data: bytes) -> None:
    """Any page is a kit for both readers, or is refused as one."""
    page = _text(data)
    if page is not None:
        agreed("read-kit", {"page": page})


def _kit_seeds() -> Iterator[bytes]:
    code = write_code(SECRET_KEY, bytes(20))
    lines = ("Server   https://a.example", "Username   ada", f"Account   {id_text(ACCOUNT_ID)}")
    page = "\n".join((*lines, f"Secret Key   {code}", f"Recovery code   {code}"))
    yield page.encode()
    yield from (given["page"].encode() for given in given_of("kit", "read-kit"))


# -- heads ----------------------------------------------------------------------------------------


def _check_head(data: bytes) -> None:
    """All three readers agree on a head; it is written as it was."""
    note = _text(data)
    if note is None:
        return
    agreed("head", {"note": note, "public": OWNER_KEYS.signing.public.hex()})
    try:
        server = parse_head_on_server(note)
    except ProblemError:
        server = None
    try:
        signed = parse_head(note)
    except FormatError:
        assert server is None, "the server takes a head that no device reads"
        return
    assert head_text(signed.head) == signed.text
    assert server is not None, "the server refuses a head that devices read"
    assert (server.signed, server.signature) == (signed.text, signed.signature)


def _head_seeds() -> Iterator[bytes]:
    yield from (given["note"].encode() for given in given_of("head", "head"))
    head = Head(ACCOUNT_ID, 3, bytes(32), bytes(32), 5)
    yield join_note(head, OWNER_KEYS.signing.public, bytes(64)).encode()


# -- evidence -------------------------------------------------------------------------------------

_CARD = ACCOUNT_CARD.serialize(CARD)
_SUBJECT = Subject(ORIGIN, _CARD, sign_statement(OWNER_KEYS.signing, "account", _CARD))


def _check_evidence(data: bytes) -> None:
    """Both readers judge a file alike, as it is."""
    text = _text(data)
    if text is not None:
        agreed("evidence", {"file": text})


def _evidence_seeds() -> Iterator[bytes]:
    return (given["file"].encode() for given in given_of("evidence", "evidence"))


def _head(choices: Choices, hashes: list[bytes]) -> Head:
    size, real, time = choices.number() % 9, choices.number(), choices.number()
    root = root_of(hashes[:size]) if real % 4 else choices.fixed(32)
    return Head(ACCOUNT_ID, size, root, bytes([time & 1]) * 32, time)


def _check_judging(data: bytes) -> None:
    """Both readers judge alike what the owner's key really signed, whatever it is."""
    choices = Choices(data)
    kind, branch = choices.number() % 5, choices.number()
    old = [leaf_hash(bytes([at])) for at in range(9)]
    new = [leaf_hash(bytes([at, at >= branch])) if branch else old[at] for at in range(9)]
    first, second = _head(choices, old), _head(choices, new)
    held, shown = (parse_head(sign_head(OWNER_KEYS.signing, head)) for head in (first, second))
    index = choices.number() % 9
    proof = inclusion_proof(new[: second.size], index) if index < second.size else []
    parts = [*proof, *(choices.fixed(32) for _ in range(choices.number() % 3))]
    made = (
        lambda: evidence.fork(_SUBJECT, held, shown, new[index], parts),
        lambda: evidence.two_heads(_SUBJECT, held, shown),
        lambda: evidence.unlinked(_SUBJECT, held, shown),
        lambda: evidence.rolled_back(_SUBJECT, held, choices.number(), shown, choices.number()),
        lambda: _altered(choices, held, shown, old),
    )[kind]()
    agreed("evidence", {"file": made.decode()})


def _altered(choices: Choices, held: SignedHead, shown: SignedHead, hashes: list[bytes]) -> bytes:
    frontier = Frontier()
    for digest in hashes[: choices.number() % 9]:
        frontier.append_hash(digest)
    leaves = [choices.short() for _ in range(choices.number() % 5)]
    return evidence.altered(_SUBJECT, held, frontier, shown, leaves)


def _judging_seeds() -> Iterator[bytes]:
    for kind in range(5):
        yield bytes((kind, 0, 3, 1, 1, 5, 1, 2, 3, 0))
        yield bytes((kind, 2, 3, 1, 1, 5, 1, 2, 3, 1)) + bytes(32)
        yield bytes((kind, 1, 4, 1, 1, 4, 1, 2, 4, 0, 2)) + short(b"leaf") + short(b"")


# -- audit files ----------------------------------------------------------------------------------


def _check_audit(data: bytes) -> None:
    """Both readers find the same in a file, as it is."""
    text = _text(data)
    if text is not None:
        agreed("audit-findings", {"file": text})


def _audit_seeds() -> Iterator[bytes]:
    found = (given["file"].encode() for given in given_of("audit", "audit-findings"))
    return (data for data in found if len(data) < _SHORT)


_SHORT = 5_000


def _check_audited(data: bytes) -> None:
    """Both readers find the same in entries that the owner's key really signed, whatever they are.

    Of an entry of a life is another kind, another subject, version, digest or author, or its app.
    """
    choices, said = Choices(data), list(LIFE)
    for _ in range(1 + choices.number() % 6):
        at, other = choices.number() % len(said), LIFE[choices.number() % len(LIFE)]
        field = Said._fields[choices.number() % len(Said._fields)]
        said[at] = said[at]._replace(**{field: getattr(other, field)})
        if choices.number() % 8 == 0:
            del said[at]
            said.append(other)
    made = []
    for at, each in enumerate(said):
        with contextlib.suppress(FormatError):  # else it is no entry, which nobody can write
            made.append(leaf(each, at))
    file = whole(made, stepped=bool(choices.number() % 2), granted=True)
    agreed("audit-findings", {"file": file.decode()})


def _audited_seeds() -> Iterator[bytes]:
    for at in range(len(LIFE)):
        yield bytes((0, at, 0, 5, 1, 1))
        yield bytes((3, at, 3, 2, 0, 5, at, 0, 1, 9, 9, 3, 1, 7, 7, 4, 1, at % 2))


# -- the file of a website ------------------------------------------------------------------------


def _check_website(data: bytes) -> None:
    """Both readers agree on a file of apps."""
    text = _text(data)
    if text is not None:
        agreed("website-apps", {"file": text, "manifest": ""}, nested=True)


def _website_seeds() -> Iterator[bytes]:
    return (
        given["file"].encode()
        for given in given_of("website-apps", "website-apps")
        if len(given["file"]) < 6_000
    )


def _check_named_apps(data: bytes) -> None:
    """What an app's key signed is refused as a manifest, or is named by a file as it was."""
    choices = Choices(data)
    signed: list[Signed] = []
    while len(signed) < 4 and (message := choices.short()):
        signature = sign_statement(APP_KEYS.signing, "app-manifest", message)
        signed.append(Signed(message, signature))
    try:
        document = app_document(signed)
    except (FormatError, BadSignatureError):
        return
    assert [item for item, _ in read_app_document(document)] == signed
    agreed("website-apps", {"file": document.decode(), "manifest": ""})


def _named_apps_seeds() -> Iterator[bytes]:
    found = [bytes.fromhex(given["bytes"]) for given in given_of("app-manifest", "parse")]
    yield short(found[0])
    yield short(found[0]) + short(found[1])


TARGETS = (
    Target("code", _check_code, _code_seeds, 256),
    Target("words", _check_words, _words_seeds, 256),
    Target("names", _check_names, _names_seeds, 512),
    Target("kit", _check_kit, _kit_seeds, 4096),
    Target("head", _check_head, _head_seeds, 1024),
    Target("evidence", _check_evidence, _evidence_seeds, 8192),
    Target("judging", _check_judging, _judging_seeds, 1024),
    Target("audit", _check_audit, _audit_seeds, 8192),
    Target("audited", _check_audited, _audited_seeds, 64),
    Target("website", _check_website, _website_seeds, 8192),
    Target("named-apps", _check_named_apps, _named_apps_seeds, 8192),
)
