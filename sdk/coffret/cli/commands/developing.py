"""The developer's side: register an app, ask an owner for access, use it."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import coffret
from coffret.cli.asking import DEVELOPER_KEY
from coffret.cli.desk import Desk, desk_of, request_of
from coffret.cli.options import (
    AppFile,
    AppName,
    Json,
    Least,
    RequestId,
    Since,
    Tags,
    Types,
    Yes,
    in_days,
    moment,
    span,
)
from coffret.cli.places import DEFAULT, check_name
from coffret.cli.private import check_new, write_private
from coffret_vault.errors import CoffretError, ConflictError, InputError
from coffret_vault.grants.domain import WELL_KNOWN

if TYPE_CHECKING:
    from coffret.app import App

ServerUrl = Annotated[
    str | None, typer.Option("--server", "-s", help="The server's address; asked for if absent.")
]
MaybeRequest = Annotated[
    str | None, typer.Argument(metavar="[REQUEST]", help="The newest if absent.")
]
For = Annotated[
    str | None,
    typer.Option("--for", help="Wait so long at most, like 90s, 15m or 2h; else until it is over."),
]
_LONGEST_WAIT = timedelta(days=8)  # a day longer than any request waits for its owner


def server_of(desk: Desk, server: str | None) -> str:
    """The address of the server that is meant."""
    return server or desk.environment.get("COFFRET_SERVER") or desk.asker.text("Server")


def register_developer(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="You, or your company.")],
    contact: Annotated[str, typer.Option(help="Where you can be reached.")],
    server: ServerUrl = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="Write the developer key to this new file."),
    ] = None,
    json: Json = False,
) -> None:
    """Register as a developer. The key that registers apps is shown once."""
    desk = desk_of(context, as_json=json)
    if key_file is not None:
        check_new(key_file)
    key = coffret.register_developer(server_of(desk, server), name, contact)
    if key_file is not None:
        try:
            write_private(key_file, [key.encode(), b"\n"], replace=False)
        except CoffretError as error:  # it is nowhere else: then it is shown
            desk.out.error(error)
        else:
            desk.out.done(f"The developer key is in {key_file}.", {"key_file": str(key_file)})
            return
    desk.out.deliver(f"Developer key, shown once: {key}", {"developer_key": key})


def register(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="What owners are shown.")],
    homepage: Annotated[str, typer.Option(help="The app's address.")],
    server: ServerUrl = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    key_file: Annotated[
        str | None, typer.Option("--key-file", help="The file with the developer key.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an app's keys, keep them in a private file, and register it; run again, it goes on."""
    desk = desk_of(context, as_json=json)
    path = file or desk.places.app(check_name(app))
    _check_free(path)
    desk.asker.use_file(DEVELOPER_KEY, key_file)
    url = server_of(desk, server)
    key = desk.asker.secret(DEVELOPER_KEY)
    with coffret.App.register(url, key, name, homepage, path, ambient=desk.ambient) as made:
        _print_info(desk, made, path)


def _check_free(path: Path) -> None:
    """Look before anything is asked; a registration that was not finished is gone on with."""
    from coffret.flows.appstate import read_begun  # noqa: PLC0415 - loads ciphers: only for this

    try:
        read_begun(path)
    except ConflictError:
        message = f"there is an app in {path} already"
        raise ConflictError(message, hint="Name another with --app, or --file.") from None


def info(
    context: typer.Context, *, app: AppName = DEFAULT, file: AppFile = None, json: Json = False
) -> None:
    """Show the app as owners see it, with the words they compare."""
    desk = desk_of(context, as_json=json)
    _print_info(desk, desk.app(app, file), file or desk.places.app(app))


def _print_info(desk: Desk, app: "App", path: Path) -> None:
    found = app.info
    if desk.out.as_json:
        desk.out.data({**_info_shape(app), "file": str(path)})
        return
    desk.out.line(f"App:          {found.name}")
    desk.out.line(f"Id:           {found.app_id}")
    desk.out.line(f"Homepage:     {found.homepage}")
    desk.out.line(f"Its words:    {found.fingerprint}")
    desk.out.line(f"Keys:         {path}")


def _info_shape(app: "App") -> dict[str, str]:
    found = app.info
    return {
        "app_id": found.app_id,
        "name": found.name,
        "homepage": found.homepage,
        "fingerprint": found.fingerprint,
    }


def words(
    context: typer.Context, *, app: AppName = DEFAULT, file: AppFile = None, json: Json = False
) -> None:
    """Print the app's eight words, for an owner to type."""
    desk = desk_of(context, as_json=json)
    found = desk.app(app, file).words
    desk.out.done(found, {"words": found})


def manifest(
    context: typer.Context,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write this file; other apps in it stay in it."),
    ] = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Make what the app's website has to serve as /.well-known/coffret-app.json."""
    desk = desk_of(context, as_json=json)
    made = desk.app(app, file)
    if output is None:
        desk.out.line(made.manifest_file().decode().rstrip())
        return
    try:
        beside = output.read_bytes() if output.exists() else None
        output.write_bytes(made.manifest_file(beside))
    except OSError:
        message = f"{output} cannot be written"
        raise InputError(message) from None
    where = f"{made.info.homepage.rstrip('/')}: serve it as {WELL_KNOWN}"
    desk.out.done(f"{output} names the app at {where}", {"file": str(output)})


def request(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="OWNER", help="The owner's username.")],
    *,
    purpose: Annotated[str, typer.Option(help="What for; the owner reads it.")],
    scope: Annotated[
        list[str], typer.Option("--scope", help="read, create, update, delete; repeated.")
    ],
    days: Annotated[float, typer.Option(help="For so many days.")] = 30,
    everything: Annotated[bool, typer.Option("--everything", help="Every memory.")] = False,
    tag: Tags = None,
    kind: Types = None,
    memory: Annotated[
        list[str] | None, typer.Option("--memory", help="A memory's whole id; may be repeated.")
    ] = None,
    importance: Least = None,
    since: Since = None,
    retention: Annotated[str, typer.Option(help="What you promise about what was read.")] = "",
    standing: Annotated[
        bool, typer.Option("--standing", help="Ask for memories written later too.")
    ] = False,
    owner_words: Annotated[
        str | None, typer.Option(help="The eight words that the owner's own vault shows.")
    ] = None,
    waits: Annotated[
        bool, typer.Option("--wait", help="Wait until the owner has decided, as app wait does.")
    ] = False,
    at_most: For = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Ask an owner for access."""
    desk = desk_of(context, as_json=json)
    if at_most is not None and not waits:
        message = "--for says how long to wait; add --wait"
        raise InputError(message)
    timeout = _timeout(at_most)
    asking = desk.app(app, file)
    identifier = asking.request_access(
        username,
        scopes=scope,
        purpose=purpose,
        duration=in_days(days),
        everything=everything,
        tags=tag or (),
        types=kind or (),
        memories=memory or (),
        importance=importance,
        since=moment(since),
        retention=retention,
        standing=standing,
        owner_words=owner_words,
    )
    text = f"Asked {username}: request {identifier}"
    shape = {"request_id": identifier, "owner": username, "state": "pending"}
    if not waits:
        desk.out.done(text, shape)
        return
    desk.out.note(text)
    _wait(desk, asking, identifier, timeout)
    desk.out.done(_READY, {**shape, "state": "approved", "grant": "active"})


def wait(
    context: typer.Context,
    request: MaybeRequest = None,
    *,
    at_most: For = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Wait until the owner has decided about a request."""
    desk = desk_of(context, as_json=json)
    timeout = _timeout(at_most)
    asking = desk.app(app, file)
    identifier = request_of(asking, request)
    _wait(desk, asking, identifier, timeout)
    desk.out.done(_READY, {"request_id": identifier, "state": "approved", "grant": "active"})


_READY = "approved; the grant is active"


def _timeout(text: str | None) -> timedelta | None:
    return None if text is None else span(text, most=_LONGEST_WAIT)


def _wait(desk: Desk, asking: "App", identifier: str, timeout: timedelta | None) -> None:
    if asking.status(identifier) == "pending":
        desk.out.note("Waiting for the owner. Ctrl-C ends the wait; the request stays.")
    asking.wait(identifier, timeout=timeout)


def requests(
    context: typer.Context, *, app: AppName = DEFAULT, file: AppFile = None, json: Json = False
) -> None:
    """List what this app asked for from here, and where it stands."""
    desk = desk_of(context, as_json=json)
    asking = desk.app(app, file)
    found = [(identifier, *_standing(asking, identifier)) for identifier in asking.requests()]
    if desk.out.as_json:
        desk.out.data(
            [{"request_id": item, "state": state, "grant": grant} for item, state, grant in found]
        )
        return
    desk.out.table(("REQUEST", "STATE", "GRANT"), [(*row[:2], row[2] or "") for row in found])


def _standing(asking: "App", identifier: str) -> tuple[str, str | None]:
    """Where a request stands, and the grant if there is one."""
    state = asking.status(identifier)
    return state, asking.grant_status(identifier) if state == "approved" else None


def status(
    context: typer.Context,
    request: MaybeRequest = None,
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Where a request stands, and the grant that came of it."""
    desk = desk_of(context, as_json=json)
    asking = desk.app(app, file)
    identifier = request_of(asking, request)
    state, grant = _standing(asking, identifier)
    text = state if grant is None else f"{state}; the grant is {grant}"
    desk.out.done(text, {"request_id": identifier, "state": state, "grant": grant})


def cancel(
    context: typer.Context,
    request: RequestId,
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Withdraw a request."""
    desk = desk_of(context, as_json=json)
    asking = desk.app(app, file)
    identifier = request_of(asking, request)
    asking.cancel(identifier)
    desk.out.done("Withdrawn.", {"request_id": identifier, "state": "cancelled"})


def forget_log(
    context: typer.Context,
    request: RequestId,
    *,
    app: AppName = DEFAULT,
    file: AppFile = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Believe an older log of an owner who says that the server was restored from a backup."""
    desk = desk_of(context, as_json=json)
    asking = desk.app(app, file)
    identifier = request_of(asking, request)
    question = "Did its owner tell you that the server was restored from a backup?"
    if not yes and not desk.asker.confirm(question):
        message = "nothing was forgotten"
        raise InputError(message)
    asking.forget_log(identifier)
    desk.out.done("What is shown next counts as the first.", {"request_id": identifier})
