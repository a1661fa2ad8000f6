"""The developer's side: the API keys of an app."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import coffret
from coffret.cli.asking import DEVELOPER_KEY
from coffret.cli.desk import Desk, desk_of
from coffret.cli.naming import full_id
from coffret.cli.options import AppFile, AppName, Json, in_days
from coffret.cli.places import DEFAULT
from coffret.cli.private import check_new, write_private
from coffret.cli.showing import local_minute
from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from coffret.developer import Developer

KeyFile = Annotated[str | None, typer.Option("--key-file", help="The file with the developer key.")]


def developer_of(
    desk: Desk, app: str, file: Path | None, key_file: str | None
) -> "tuple[Developer, str]":
    """The developer of an app that was registered here, by the key that is given; and its id."""
    made = desk.app(app, file)
    desk.asker.use_file(DEVELOPER_KEY, key_file)
    key = desk.asker.secret(DEVELOPER_KEY)
    return coffret.Developer(made.server, key, ambient=desk.ambient), made.info.app_id


def list_keys(
    context: typer.Context,
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """List the app's API keys; the keys themselves are shown once, when they are made."""
    desk = desk_of(context, as_json=json)
    developer, app_id = developer_of(desk, app, file, key_file)
    with developer:
        found = developer.api_keys(app_id)
    if desk.out.as_json:
        desk.out.data(found)
        return
    rows = [
        (
            item.key_id,
            local_minute(item.created),
            local_minute(item.last_used) if item.last_used else "never",
            local_minute(item.expires) if item.expires else "no end",
            " ".join(item.scopes),
        )
        for item in found
    ]
    desk.out.table(("ID", "SINCE", "LAST USED", "UNTIL", "GOOD FOR"), rows)


def new(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, create, update, delete, request; repeated."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="For so many days; without end if absent.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the key to this new file.")
    ] = None,
    use: Annotated[
        bool, typer.Option("--use", help="Let the app here use it from now on.")
    ] = False,
    app: AppName = DEFAULT,
    file: AppFile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Make a further API key."""
    desk = desk_of(context, as_json=json)
    if output is not None:
        check_new(output)
    developer, app_id = developer_of(desk, app, file, key_file)
    with developer:
        lasts = None if days is None else in_days(days)
        limits = {"scopes": scope} if scope else {}
        made = developer.new_api_key(app_id, lasts=lasts, **limits)
    shape = {"key_id": made.key_id}
    kept = use or output is not None
    try:
        if use:
            desk.app(app, file).use_api_key(made.api_key)
        if output is not None:
            write_private(output, [made.api_key.encode(), b"\n"], replace=False)
    except CoffretError as error:  # it is nowhere else: then it is shown
        desk.out.error(error)
        kept = False
    if kept:
        desk.out.done(f"Made {made.key_id}.", shape)
        return
    desk.out.deliver(f"API key, shown once: {made.api_key}", {**shape, "api_key": made.api_key})


def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Its id, or the end of it.")],
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Take an API key back, and the tokens that were given for it."""
    desk = desk_of(context, as_json=json)
    developer, app_id = developer_of(desk, app, file, key_file)
    with developer:
        identifier = full_id(key, (item.key_id for item in developer.api_keys(app_id)), "API key")
        developer.revoke_api_key(app_id, identifier)
    desk.out.done("Taken back.", {"revoked": identifier})
