"""Look at what the server holds, and at whether everything is well."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coffret.cli.checking import BAD, GOOD, check_everything
from coffret.cli.desk import desk_of
from coffret.cli.options import Json
from coffret.cli.showing import one_line, snippet
from coffret.cli.writing import plain
from coffret_vault.errors import InputError
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.layout import id_text
from coffret_vault.grants.words import fingerprint
from coffret_vault.log.evidence import MAX_EVIDENCE
from coffret_vault.log.judging import verify_evidence as judge

_CELL = 48
_ROWS = 5
_ELSEWHERE = (
    "Contents, summaries, questions, vectors and keys are nowhere here: they never leave your "
    "devices unsealed. The tables settings, developers, apps and api_keys hold nothing of an "
    "account. Failed logins from addresses where you are not logged in are counted under hashes "
    "that cannot be told apart; what an app asked is kept under the app for a day as well."
)


def server_view(
    context: typer.Context,
    *,
    rows: Annotated[
        int | None,
        typer.Option(min=0, help="Rows of each table to show: 5, or with --json all."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what the server keeps of you, as it keeps it."""
    desk = desk_of(context, as_json=json)
    most = _ROWS if rows is None and not desk.out.as_json else rows
    view = desk.vault().server_view(most)
    if desk.out.as_json:
        desk.out.data(view)
        return
    tables = view["tables"]
    for table in tables:
        _print_table(desk.out.line, table)
    if any(len(table["rows"]) < table["total"] for table in tables):
        largest = max(table["total"] for table in tables)
        desk.out.line(f"Not every row is shown: --rows {largest} shows all.")
    else:
        desk.out.line("This is every row.")
    desk.out.line(_ELSEWHERE)


def _print_table(line: Any, table: dict[str, Any]) -> None:  # noqa: ANN401 - a writer
    rows = table["rows"]
    line(f"{table['table']}: {len(rows)} of {table['total']} rows")
    readable = table.get("readable") or [None] * len(rows)
    for row, read in zip(rows, readable, strict=True):
        cells = zip(table["columns"], row, strict=False)
        line("  " + "  ".join(f"{name}={snippet(str(value), _CELL)}" for name, value in cells))
        if read is not None:
            line("    the server reads in this record: " + _told(read))
    line()


def _told(read: dict[str, Any]) -> str:
    """What a record says in the clear, in full: nothing that leaks is shortened."""
    if read["sealed"]:
        return "no title, tags or importance (sealed)"
    tags = ", ".join(map(one_line, read["tags"])) or "none"
    importance = "none" if read["importance"] is None else read["importance"]
    return f"title: {one_line(read['title']) or 'none'}; tags: {tags}; importance: {importance}"


def verify_evidence(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that an error of Coffret named.")],
    *,
    json: Json = False,
) -> None:
    """Judge a file of evidence: what it proves, and what it does not. Needs no vault."""
    desk = desk_of(context, as_json=json)
    found = judge(_read(file))
    card, verdict = found.card, found.verdict
    words = fingerprint(keys_hash(card.signing_public, card.sealing_public))
    if desk.out.as_json:
        log = {"origin": found.origin, "username": card.username, "fingerprint": words}
        account, heads = id_text(card.account_id), [found.held.size, found.shown.size]
        desk.out.data({**plain(verdict), **log, "account_id": account, "sizes": heads})
        return
    desk.out.line(f"{'Proof' if verdict.proven else 'Record'} ({verdict.kind}): {verdict.proves}")
    for text in verdict.unproven:
        desk.out.line(f"Not shown:    {text}")
    desk.out.line(f"Log:          {card.username} at {found.origin}")
    desk.out.line(f"Owner's key:  {words}")
    desk.out.line("              (whose key that is, the owner says: compare these eight words)")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_EVIDENCE + 1)
    except OSError:
        message = "that file cannot be read"
        raise InputError(message) from None


def doctor(
    context: typer.Context,
    *,
    server: Annotated[
        str | None, typer.Option("--server", help="Look at this server, not at the vault's.")
    ] = None,
    json: Json = False,
) -> None:
    """Check that everything is well, and say what to do where it is not."""
    desk = desk_of(context, as_json=json)
    found = list(check_everything(desk, server))
    if desk.out.as_json:
        desk.out.data({"well": all(item.state != BAD for item in found), "checks": found})
    else:
        for item in found:
            mark = "ok  " if item.state == GOOD else item.state
            advice = f" {item.advice}" if item.advice else ""
            desk.out.line(f"{mark:5} {item.name + ':':11} {item.found}{advice}")
    if any(item.state == BAD for item in found):
        raise typer.Exit(1)
