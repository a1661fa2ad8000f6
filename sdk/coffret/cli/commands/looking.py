"""Look at what the server holds, and at whether everything is well."""

from typing import Annotated, Any

import typer

from coffret.cli.checking import BAD, GOOD, check_everything
from coffret.cli.desk import desk_of
from coffret.cli.options import Json
from coffret.cli.showing import snippet

_CELL = 48


def server_view(
    context: typer.Context,
    *,
    rows: Annotated[int, typer.Option(help="Rows of each table to show.")] = 5,
    json: Json = False,
) -> None:
    """Show what the server keeps of you, as it keeps it."""
    desk = desk_of(context, as_json=json)
    view = desk.vault().server_view()
    if desk.out.as_json:
        desk.out.data(view)
        return
    tables = view.get("tables", [])
    for table in tables if isinstance(tables, list) else []:
        _print_table(desk.out.line, table, rows)
    desk.out.line(
        "This is everything. Contents, summaries, questions, vectors and keys are not here: "
        "they never leave your devices unsealed."
    )


def _print_table(line: Any, table: dict[str, Any], most: int) -> None:  # noqa: ANN401 - a writer
    shown = table.get("rows", [])[:most]
    line(f"{table.get('table')}: {table.get('total')} rows")
    for row in shown:
        cells = zip(table.get("columns", []), row, strict=False)
        line("  " + "  ".join(f"{name}={snippet(str(value), _CELL)}" for name, value in cells))
    line()


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
