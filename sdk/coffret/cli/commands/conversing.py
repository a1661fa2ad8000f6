"""Remember a conversation from the messages of a chat API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coffret.cli.commands.under_grant import NewTags
from coffret.cli.desk import Desk, desk_of
from coffret.cli.options import AppFile, AppName, Json, OfRequest, Sealed, Tags
from coffret.cli.places import DEFAULT
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from coffret.messages import MessagesReport

_SHOWN = 20

Messages = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="JSON: a list of role and content; - reads standard input."
    ),
]
Session = Annotated[
    str | None,
    typer.Option("--session", help="Which conversation it is; by its first message if absent."),
]
Agent = Annotated[str | None, typer.Option("--agent", help="Who answers.")]
User = Annotated[str | None, typer.Option("--user", help="Who asks.")]


def remember_messages(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    path: Messages,
    *,
    session: Session = None,
    agent: Agent = None,
    user: User = None,
    tag: Tags = None,
    sealed: Sealed = None,
    json: Json = False,
) -> None:
    """Remember a conversation: each question with its answer. Again, it takes what is new."""
    desk = desk_of(context, as_json=json)
    talk: dict[str, Any] = {"session": session, "agent": agent, "user": user, "tags": tag or ()}
    messages = _read(desk, path, talk)
    vault = desk.vault()
    with desk.out.progress() as progress:
        report = vault.remember_messages(messages, progress, sealed=sealed, **talk)
    _print_report(desk, report)


def propose_messages(  # noqa: PLR0913 - each option is an argument
    context: typer.Context,
    path: Messages,
    *,
    session: Session = None,
    agent: Agent = None,
    user: User = None,
    tag: NewTags = None,
    request: OfRequest = None,
    app: AppName = DEFAULT,
    file: AppFile = None,
    json: Json = False,
) -> None:
    """Write a conversation into the owner's vault; it waits. Again, it takes what is new."""
    desk = desk_of(context, as_json=json)
    talk: dict[str, Any] = {"session": session, "agent": agent, "user": user, "tags": tag or ()}
    messages = _read(desk, path, talk)
    access = desk.access(desk.app(app, file), request)
    with desk.out.progress() as progress:
        report = access.remember_messages(messages, progress, **talk)
    _print_report(desk, report)


def _read(desk: Desk, path: str, talk: dict[str, Any]) -> list[Any]:
    """The messages in a file: a list, or the ``messages`` of an object; all of them looked at.

    Raises:
        InputError: there is no such file, it holds neither, or what cannot be remembered.
    """
    from coffret.messages import conversation_of  # noqa: PLC0415 - loads ciphers: not for help
    from coffret_vault.ingest.limits import DEFAULT_LIMITS  # noqa: PLC0415 - only for this
    from coffret_vault.ingest.reading import decode_json, read_bytes  # noqa: PLC0415 - the same

    if path == "-":
        data = desk.asker.content().encode()
    else:
        data = read_bytes(Path(path), DEFAULT_LIMITS.max_json_bytes)
    found: Any = decode_json(data, Any)
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list):
        message = "that JSON is no list of messages, nor an object with messages"
        raise InputError(message)
    conversation_of(messages, talk)  # type: ignore[arg-type]  # before a passphrase is asked for
    return messages


def _print_report(desk: Desk, report: "MessagesReport") -> None:
    if desk.out.as_json:
        desk.out.data(report)
        return
    forgotten = f", {report.forgotten} forgotten before" if report.forgotten else ""
    desk.out.line(
        f"{report.created} created, {report.updated} updated, {report.unchanged} unchanged"
        f"{forgotten}. The conversation is {report.session}."
    )
    for item in report.skipped[:_SHOWN]:
        desk.out.line(f"  left out: {item.source}: {item.reason}")
    if len(report.skipped) > _SHOWN:
        desk.out.line(f"  and {len(report.skipped) - _SHOWN} more; --json lists all of them.")
