"""Decide what apps ask for."""

from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.approval import (
    Choice,
    ask_choice,
    check_choice,
    chosen_memories,
    chosen_scopes,
    show_request,
    summary,
)
from coffret.cli.desk import Desk, desk_of
from coffret.cli.identifying import Told, ask_which_app
from coffret.cli.naming import full_id, is_whole, short
from coffret.cli.options import Json, RequestId, Yes
from coffret.cli.showing import memories, request_rows, request_shape
from coffret.sharing import UNREADABLE
from coffret_vault.errors import ConflictError, InputError

if TYPE_CHECKING:
    from coffret.sharing import AccessRequestInfo
    from coffret.vault import Vault

_NO_RETURN = "What an app has read cannot be unread, whatever you do afterwards."
Some = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Numbers of the list shown, or ids: 1,4-6,3fa85f64"),
]


def requests(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    json: Json = False,
) -> None:
    """List what apps ask for."""
    desk = desk_of(context, as_json=json)
    found = desk.synced().requests(None if everything else "pending")
    if desk.out.as_json:
        desk.out.data([request_shape(request) for request in found])
        return
    titles = ("ID", "STATE", "APP", "WANTS TO", "WHICH", "MATCHING", "FOR")
    desk.out.table(titles, request_rows(found))
    for request in found:
        for warning in request.warnings:
            desk.out.note(f"{short(request.request_id)} {request.app.name}: {warning}")
    if not found:
        desk.out.note("Nobody is asking.")


def approve(  # noqa: PLR0913 - every way of narrowing
    context: typer.Context,
    request: RequestId,
    *,
    scopes: Annotated[
        str | None, typer.Option(metavar="LIST", help="Only these: read,create,update,delete")
    ] = None,
    only: Some = None,
    exclude: Some = None,
    days: Annotated[float | None, typer.Option(help="For so many days.")] = None,
    standing: Annotated[
        bool | None,
        typer.Option("--standing/--no-standing", help="Also memories written later."),
    ] = None,
    auto_accept: Annotated[
        bool | None,
        typer.Option("--auto-accept/--review", help="What it writes needs no review."),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="The eight words that the app itself shows.")
    ] = None,
    website: Annotated[
        str | None, typer.Option(help="Or the address of its website, which has to confirm it.")
    ] = None,
    domain_check: Annotated[
        bool,
        typer.Option(
            "--domain-check/--no-domain-check",
            help="Ask the app's website; it then learns this device's address.",
        ),
    ] = True,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Its keys have changed, and you know why.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what an app asks for, and approve it or less of it."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    asked = _pending(vault, request)
    told = Told(words, website, domain_check, new_keys)
    if asked.state == "approved":
        _hand_over(desk, vault, asked, Choice(), told)
        return
    said = Choice(
        scopes=chosen_scopes(scopes, asked),
        only=chosen_memories(only, asked.matching, by_number=not yes),
        exclude=chosen_memories(exclude, asked.matching, by_number=not yes),
        days=days,
        standing=standing,
        auto_accept=auto_accept,
    )
    check_choice(said, asked)
    show_request(desk, asked, ask=not yes)
    if not yes:
        desk.asker.check_person()
    told = ask_which_app(desk, vault, asked, told)
    choice = check_choice(said if yes else ask_choice(desk, asked, said), asked)
    desk.out.note(f"{summary(asked, choice)} {_NO_RETURN}")
    if not yes and not desk.asker.confirm("Approve?"):
        message = "nothing was approved"
        raise InputError(message)
    _hand_over(desk, vault, asked, choice, told)


def deny(context: typer.Context, request: RequestId, *, json: Json = False) -> None:
    """Turn a request down."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = _find(vault, request).request_id
    vault.deny(identifier)
    desk.out.done("Denied.", {"request_id": identifier, "state": "denied"})


def _find(vault: "Vault", text: str) -> "AccessRequestInfo":
    """The request that is meant; by a whole id it is asked for alone, however many there are."""
    if is_whole(text):
        return vault.request(text)
    found = {request.request_id: request for request in vault.requests(None)}
    return found[full_id(text, found, "request")]


def _pending(vault: "Vault", text: str) -> "AccessRequestInfo":
    asked = _find(vault, text)
    if not asked.readable:
        raise InputError(UNREADABLE)
    if asked.state in {"approved", "pending"}:
        return asked
    message = f"this request is {asked.state}"
    raise ConflictError(message)


def _hand_over(
    desk: Desk, vault: "Vault", asked: "AccessRequestInfo", choice: Choice, told: Told
) -> None:
    with desk.out.progress() as progress:
        identifier = vault.approve(
            asked,
            scopes=choice.scopes,
            memories=choice.only,
            exclude=choice.exclude or (),
            duration=choice.duration(),
            standing=bool(choice.standing),
            auto_accept=bool(choice.auto_accept),
            **told._asdict(),
            progress=progress,
        )
    grant = vault.grant(identifier)
    if desk.out.as_json:
        desk.out.data(grant)
        return
    desk.out.line(
        f"Approved until {grant.expires:%Y-%m-%d}: grant {identifier}, {memories(grant.memories)}."
    )
