"""Audit files: a log whole, verified by itself and against what was kept of it."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from coffret_vault.envelope.signature import verify_statement
from coffret_vault.errors import BadSignatureError, FormatError, TooLargeError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.sharing import CREATE, GRANT, MANIFEST
from coffret_vault.log import audit as files
from coffret_vault.log import auditing, comparing
from coffret_vault.log.audit import AppGrant, lines_of
from coffret_vault.log.auditing import Audit, audit
from coffret_vault.log.comparing import compare_head, compare_logs, differences
from vectors.making.audit import LIFE, Said, headed, leaf, leaves, preamble, shown, whole
from vectors.making.samples import (
    APP_KEYS,
    GRANT_SAMPLE,
    MANIFEST_SAMPLE,
    OWNER_KEYS,
    UPDATED,
    identifier,
    identity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret_vault.keyring import Identity


def audited(data: bytes) -> Audit:
    """The log of a file."""
    return audit(lines_of(BytesIO(data)))


def test_what_is_written_is_read_and_whole() -> None:
    """Every leaf comes back, and what is counted is what there is."""
    life = leaves()
    data = whole(life, stepped=True, granted=True)
    told, found = files.read_audit(lines_of(BytesIO(data)))
    assert list(found) == life
    assert told == preamble(life, stepped=True, granted=True)
    log = audited(data)
    assert log.is_whole
    assert log.is_signed
    assert sum(log.counted.values()) == len(life) == len(log.hashes)


def test_each_entry_that_is_missing_altered_or_moved_is_named() -> None:
    """Whichever it is, against what was kept it is named by its number, and no other one is."""
    life = leaves()[:9]
    kept = audited(whole(life))
    for at in range(len(life)):
        left = audited(shown([*life[:at], *life[at + 1 :]], life))
        named = compare_logs(left, kept)
        assert [(item.what, item.entry) for item in named.differences] == [("missing", at)]
        changed = audited(shown([*life[:at], b"another", *life[at + 1 :]], life))
        named = compare_logs(changed, kept)
        assert [(item.what, item.entry, item.at) for item in named.differences] == [
            ("altered", at, at)
        ]
        assert named.relation == "altered"


def test_a_rollback_and_a_fork_are_told_apart() -> None:
    """The owner's own log of before is turned back; another one that they signed is a fork."""
    life = leaves()[:9]
    kept = audited(whole(life))
    assert compare_logs(audited(whole(life[:4])), kept).relation == "rolled-back"
    branch = [*life[:3], *leaves([LIFE[1], *LIFE[4:9]])]
    assert compare_logs(audited(whole(branch)), kept).relation == "forked"
    assert compare_logs(audited(whole([*life, branch[3]])), kept).relation == "continues"


@pytest.mark.parametrize(
    ("size", "changes", "relation"),
    [
        (5, {}, "continues"),
        (9, {}, "same"),
        (9, {"time": 1}, "two-heads"),
        (12, {}, "rolled-back"),
        (5, {"root": bytes(32)}, "forked"),
        (9, {"root": bytes(32)}, "forked"),
    ],
)
def test_a_head_that_was_kept_is_compared(
    size: int, changes: dict[str, object], relation: str
) -> None:
    """Anything with a head says whether the log goes on from it; no entry is named."""
    life = leaves()
    kept = headed(life[:size], OWNER_KEYS, **changes)
    log = whole(life[:9])
    assert compare_head(audited(log), kept).relation == relation
    cut = shown(life[:8], life[:9])
    if size == 9:
        assert compare_head(audited(cut), kept).relation == "altered"


def test_what_is_by_other_keys_is_compared_with_nothing() -> None:
    """A head by a stranger, one of another account, and a file that is not signed are refused."""
    life = leaves()[:3]
    log = audited(whole(life))
    with pytest.raises(BadSignatureError):
        compare_head(log, headed(life, APP_KEYS))
    with pytest.raises(TrustError, match="another account"):
        compare_head(log, headed(life, OWNER_KEYS, account_id=identifier("other")))
    with pytest.raises(TrustError, match="not what the owner signed"):
        compare_logs(log, audited(shown(life[:2], life)))


def test_what_is_found_without_end_is_counted_and_not_kept() -> None:
    """Of many findings some are kept, with all that is wrong with the whole; all are counted."""
    data = shown([b"none"] * 5, leaves()[:5], stepped=True)
    with patch.object(auditing, "MAX_FINDINGS", 3):
        log = audited(data)
    assert log.found == 7
    assert [item.what for item in log.findings] == [*["unreadable"] * 3, "root", "out-of-turn"]
    assert not log.is_signed
    with patch.object(comparing, "MAX_DIFFERENCES", 2):
        named = compare_logs(log, audited(whole(leaves()[:5])))
    assert (len(named.differences), named.differing, named.relation) == (2, 5, "altered")


@pytest.mark.parametrize(
    ("name", "most", "line"),
    [
        ("MAX_LINE", 40, b""),
        ("MAX_LEAF_LINE", 40, b""),
        ("MAX_LEAVES", 2, b""),
        ("MAX_STEPS", 0, b"succession AAAA AAAA AAAA\n"),
        ("MAX_GRANTS", 0, b"grant AAAA AAAA\n"),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_read(name: str, most: int, line: bytes) -> None:
    """Each bound holds, of lines and of their number."""
    data = whole(leaves()[:3]).replace(b"head ", line + b"head ")
    with patch.object(files, name, most), pytest.raises(TooLargeError):
        audited(data)


def test_no_more_of_a_line_is_read_than_is_looked_at() -> None:
    """A file without line ends is not taken into memory."""
    asked: list[int] = []

    class Endless(BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            asked.append(size or 0)
            return b"x" * (size or 0)

    with pytest.raises(FormatError):
        audit(lines_of(Endless()))
    assert asked == [files.MAX_LINE + 1]


def _granted(keys: Sequence[Identity]) -> bytes:
    """A log in which an app has a grant under each of these keys, and another key signs for it."""
    grants, said = list[AppGrant](), [LIFE[0]]
    for number, key in enumerate(keys):
        manifest = MANIFEST.serialize(replace(MANIFEST_SAMPLE, signing_public=key.signing.public))
        grant = replace(
            GRANT_SAMPLE,
            grant_id=identifier(f"grant {number}"),
            manifest_digest=sha256(manifest).digest(),
            scopes=frozenset((CREATE,)),
        )
        statement = GRANT.serialize(grant)
        grants.append(AppGrant(statement, manifest))
        said.append(Said(kinds.GRANT, grant.grant_id, 1, sha256(statement).digest()))
    of = [*leaves(said), leaf(LIFE[7], UPDATED, OWNER_KEYS)]
    return b"".join(files.write_audit(replace(preamble(of), grants=tuple(grants)), of))


def test_an_entry_is_tried_with_each_key_of_its_app_once_and_these_are_few() -> None:
    """However many grants a file has: else a small one would keep an auditor busy for days."""
    data = _granted([identity(name) for name in "abc"] * 5)
    with patch.object(auditing, "verify_statement", wraps=verify_statement) as verify:
        assert [item.what for item in audited(data).findings] == ["unsigned"]
    assert [call.args[1] for call in verify.call_args_list].count("app-entry") == 3
    with patch.object(auditing, "MAX_KEYS", 2), pytest.raises(TooLargeError):
        audited(data)


def _naive(before: list[bytes], after: list[bytes]) -> bool:
    return after[: len(before)] == before


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[::-1],
        lambda items: [*items[3:], *items[:3]],
        lambda items: items * 2,
        lambda items: [items[0], items[0], *items[1:]],
        lambda items: items[:0],
    ],
)
def test_differences_are_none_only_where_a_log_goes_on(
    change: Callable[[list[bytes]], list[bytes]],
) -> None:
    """However it is changed, something is named unless it begins with all that was kept."""
    items = [bytes([at]) for at in range(7)]
    after = change(items)
    assert bool(differences(items, after)) is not _naive(items, after)
