"""The developer's side: end an app, and be forgotten."""

import typer

import coffret
from coffret.cli.asking import DEVELOPER_KEY
from coffret.cli.commands.developing import ServerUrl, server_of
from coffret.cli.commands.keys import KeyFile, developer_of
from coffret.cli.desk import desk_of
from coffret.cli.options import AppFile, AppName, Json, Yes
from coffret.cli.places import DEFAULT
from coffret.cli.showing import one_line
from coffret_vault.errors import InputError


def delete_app(
    context: typer.Context,
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End an app for good: its API keys, and what it asks for. Its file here stays."""
    desk = desk_of(context, as_json=json)
    name = desk.app(app, file).info.name
    if not yes and desk.asker.text(f"Type the app's name, {one_line(name)}, to end it") != name:
        message = "nothing was deleted"
        raise InputError(message)
    developer, app_id = developer_of(desk, app, file, key_file)
    with developer:
        developer.delete_app(app_id)
    text = "Ended. Delete what it keeps of its owners, and its file."
    desk.out.done(text, {"deleted": app_id})


def delete_developer(
    context: typer.Context,
    *,
    server: ServerUrl = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Have the server forget you as a developer, when your apps are deleted."""
    desk = desk_of(context, as_json=json)
    if not yes and not desk.asker.confirm("Have your name, contact and key forgotten for good?"):
        message = "nothing was deleted"
        raise InputError(message)
    desk.asker.use_file(DEVELOPER_KEY, key_file)
    address = server_of(desk, server)
    key = desk.asker.secret(DEVELOPER_KEY)
    with coffret.Developer(address, key, ambient=desk.ambient) as developer:
        developer.delete_developer()
    desk.out.done("Forgotten. The developer key is good for nothing now.", {"deleted": "developer"})
