"""For auditors: write the log down, and verify what was written down, by itself."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from coffret.cli.commands.entering import head_in
from coffret.cli.desk import desk_of
from coffret.cli.options import Json
from coffret.cli.private import check_new, write_private
from coffret.cli.writing import plain
from coffret.confirming import head_within
from coffret_vault.errors import FormatError, InputError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.layout import id_text
from coffret_vault.grants.words import fingerprint
from coffret_vault.log.audit import is_audit, lines_of, read_audit
from coffret_vault.log.auditing import Audit, audit
from coffret_vault.log.comparing import (
    CONTINUES,
    SAME,
    WELL,
    Comparison,
    Difference,
    compare_head,
    compare_logs,
)
from coffret_vault.log.evidence import MAX_EVIDENCE, read_file
from coffret_vault.log.judging import verify_evidence
from coffret_vault.records.memory import from_micros

if TYPE_CHECKING:
    from coffret.cli.writing import Writer

Named = dict[int | None, dict[str, Any]]
"""What entries say of themselves, by their numbers; nothing of None."""
_WRONG = {
    "unreadable": "is no entry",
    "foreign": "is of another account",
    "out-of-turn": "does not follow from those before it",
    "unsigned": "is not signed by an app with a grant for it",
}
_WRONG_WHOLE = {
    "count": "There are more or fewer entries than the owner's head says.",
    "root": "The entries are not those that the owner's head is over.",
    "out-of-turn": "A change of keys that led to the owner's card is not in the log.",
}
_RELATION = {
    SAME: "It is the log that was kept, of {0} entries.",
    CONTINUES: "It begins with the {0} entries that were kept, and goes on from there.",
    "rolled-back": "Rolled back, or older: it ends before the {0} entries that were kept; what it "
    "has of them is the same, and the owner's keys signed both.",
    "forked": "Forked: the owner's keys signed this log and the {0} entries that were kept, and "
    "neither goes on from the other.",
    "altered": "Altered: it is not what the owner's keys signed, nor the {0} entries kept.",
    "two-heads": "The owner's keys signed two different heads over the same {0} entries.",
}
_UNSHOWN = (
    "That the head is the newest: compare with the owner, or with what was kept later. What was "
    "never in the log. Who had the owner's keys: by whose keys it is, the owner says. The times "
    "are as the devices and apps that wrote them say."
)


def audit_log(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="- writes to standard output.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Write the log to a file for an auditor: no content, no title, no key."""
    desk = desk_of(context, as_json=json)
    is_piped = str(path) == "-"
    if not is_piped:
        check_new(path, replace=force)
    vault = desk.locked()
    log = vault.audit_log()
    words, head = vault.words, _head_words(parse_head(log.head))
    by_words = (
        f"Owner's key:  {words}\nHead:         {head}\n"
        "              (tell the auditor both by another way than the file)"
    )
    if log.beyond:
        desk.out.note(
            f"Not in it: {log.beyond} that apps wrote since the newest head. The next change that "
            "you make signs one over them."
        )
    if is_piped:
        sys.stdout.buffer.writelines(log.lines)
        sys.stdout.buffer.flush()
        desk.out.note(by_words)
        return
    size = write_private(path, log.lines, replace=force)
    told = {"entries": log.entries, "beyond": log.beyond, "fingerprint": words, "head_words": head}
    desk.out.done(
        f"Wrote {log.entries} entries to {path}.\n{by_words}",
        {"file": str(path), "bytes": size, "head": log.head, **told},
    )


def verify_audit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What coffret audit-log wrote.")],
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            help="What was kept before: such a file, a file of evidence, or anything with a head: "
            "a kit, an app's receipt, what coffret status --json printed."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Verify a log by itself, and against what was kept of it. Needs no vault and no server."""
    desk = desk_of(context, as_json=json)
    found = _audited(file)
    compared = None if against is None else _compared(found, against)
    differing = () if compared is None else compared.differences
    named = _named(file, {item.entry for item in found.findings} | {item.at for item in differing})
    kept = {} if against is None else _named(against, {item.entry for item in differing})
    if desk.out.as_json:
        desk.out.data(_as_data(found, compared, named, kept))
    else:
        _print(desk.out, found, compared, (named, kept))
    if not found.is_whole or not (compared is None or compared.relation in WELL):
        raise typer.Exit(TrustError.exit_code)


def _audited(path: Path) -> Audit:
    with _opened(path) as file:
        return audit(lines_of(file))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError:
        message = f"{path} cannot be read"
        raise InputError(message) from None


def _compared(found: Audit, path: Path) -> Comparison:
    with _opened(path) as file:
        start = file.read(MAX_EVIDENCE + 1)
    if is_audit(start):
        return compare_logs(found, _audited(path))
    compared = [compare_head(found, head) for head in _heads(start)]
    return next((each for each in compared if each.relation not in WELL), compared[0])


def _heads(data: bytes) -> list[SignedHead]:
    """The heads in a file of evidence, or the one in any text."""
    try:
        file = read_file(data)
    except FormatError:
        try:
            return [parse_head(head_within(head_in(data.decode())))]
        except (FormatError, UnicodeDecodeError):
            message = "there is nothing in that file to compare with"
            raise InputError(message) from None
    verify_evidence(data)
    return [parse_head(file.held), parse_head(file.shown)]


def _named(path: Path, wanted: Iterable[int | None]) -> Named:
    """What these entries say of themselves: the file is read once more, as far as the last one."""
    numbers = {number for number in wanted if number is not None}
    if not numbers:
        return {}
    with _opened(path) as file:
        leaves = islice(read_audit(lines_of(file))[1], max(numbers) + 1)
        return {at: _says(leaf) for at, leaf in enumerate(leaves) if at in numbers}


def _says(data: bytes) -> dict[str, Any]:
    try:
        entry = parse_leaf(data).entry
    except FormatError:
        return {}
    author = entry.author.app_id
    return {
        "kind": entry.kind,
        "subject": id_text(entry.subject),
        "version": entry.version,
        "time": from_micros(entry.time),
        "app": None if author is None else id_text(author),
    }


def _words_of(found: Audit) -> str:
    card = found.cards[-1]
    return fingerprint(keys_hash(card.signing_public, card.sealing_public))


def _head_words(head: SignedHead) -> str:
    return fingerprint(head.digest)


def _as_data(
    found: Audit, compared: Comparison | None, named: Named, kept: Named
) -> dict[str, Any]:
    head, card = found.preamble.head, found.cards[-1]
    findings = [plain(item) | named.get(item.entry, {}) for item in found.findings]
    data: dict[str, Any] = {
        "whole": found.is_whole,
        "account_id": id_text(card.account_id),
        "username": card.username,
        "fingerprint": _words_of(found),
        "head": head.note,
        "head_words": _head_words(head),
        "signed": from_micros(head.head.time),
        "size": head.head.size,
        "key_changes": len(found.cards) - 1,
        "entries": found.counted,
        "first": None if found.times is None else from_micros(found.times[0]),
        "last": None if found.times is None else from_micros(found.times[1]),
        "findings": findings,
        "found": found.found,
        "against": None,
    }
    if compared is not None:
        differences = [
            plain(item) | {"kept": kept.get(item.entry), "is": named.get(item.at)}
            for item in compared.differences
        ]
        told = {"relation": compared.relation, "size": compared.kept}
        data["against"] = told | {"differences": differences, "differing": compared.differing}
    return data


def _print(
    out: "Writer", found: Audit, compared: Comparison | None, named: tuple[Named, Named]
) -> None:
    head, card = found.preamble.head.head, found.cards[-1]
    if found.is_whole:
        out.line(f"Whole: {head.size} entries, each as the owner's key signed them, in turn.")
    for item in found.findings:
        if item.entry is None:
            out.line(f"Wrong: {_WRONG_WHOLE[item.what]}")
        else:
            out.line(f"Wrong: {_entry(item.entry, named[0])} {_WRONG[item.what]}.")
    _tell_more(out, found.found - len(found.findings))
    if compared is not None:
        out.line(_RELATION[compared.relation].format(compared.kept))
        for difference in compared.differences:
            out.line(f"  {_different(difference, *named)}.")
        _tell_more(out, compared.differing - len(compared.differences))
    counted = found.counted
    out.line(f"Log:          {card.username}, {id_text(card.account_id)}")
    out.line(f"Signed:       {from_micros(head.time).isoformat()}, over {head.size} entries")
    if found.times is not None:
        first, last = (from_micros(time).isoformat() for time in found.times)
        out.line(f"Written:      {first} to {last}")
    out.line(f"Entries:      {', '.join(f'{kind} {counted[kind]}' for kind in counted)}")
    made, paused, resumed, revoked = (
        counted.get(kind, 0) for kind in (kinds.GRANT, kinds.PAUSE, kinds.RESUME, kinds.REVOKE)
    )
    out.line(
        f"Grants:       {made} made; {paused} times paused, {resumed} resumed; {revoked} revoked"
    )
    out.line(f"Owner's key:  {_words_of(found)}")
    out.line(f"Head:         {_head_words(found.preamble.head)}")
    out.line("              (compare these words with those that the owner was shown)")
    out.line(f"Not shown:    {_UNSHOWN}")


def _tell_more(out: "Writer", more: int) -> None:
    if more > 0:
        out.line(f"  and {more} more.")


def _different(item: Difference, named: Named, kept: Named) -> str:
    if item.entry is None:
        return f"{_entry(item.at, named)} was put in"
    before = _entry(item.entry, kept)
    if item.at is None:
        return f"{before} is missing"
    if item.what == "moved":
        return f"{before} stands at {item.at}"
    return f"{before} was altered: at {item.at} stands {_said(named.get(item.at))}"


def _entry(number: int | None, named: Named) -> str:
    return f"Entry {number} ({_said(named.get(number))})"


def _said(says: dict[str, Any] | None) -> str:
    if not says:
        return "which cannot be read"
    by = "" if says["app"] is None else f" by app {says['app']}"
    return f"{says['kind']} of {says['subject']}, {says['time'].isoformat()}{by}"
