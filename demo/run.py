"""The main job, end to end, on real input: ``make demo``, or ``make demo FROM=folder``."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

import scan
import show
from coffret import App, Vault, register_developer
from coffret.flows.keys import open_record
from coffret_vault.errors import CoffretError, GrantError, OpenError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER, Kek, Record
from coffret_vault.ingest import read_source
from coffret_vault.records.seal import Wrapping, open_version, unwrap_memory_key
from coffret_vault.search import MiniLmEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret import Access, Memory, RecoveryKit

HERE = Path(__file__).parent
HOME = Path(".coffret-demo")
CORPUS = (HERE / "corpus" / "journal", HERE / "corpus" / "notes", HERE / "corpus" / "chats.json")
QUESTIONS = (
    "what did the physio say about my knee",
    "where did we eat octopus",
    "gift ideas for my sister",
)
TRAVEL = "travel"
HOMEPAGE = "https://wayfarer.example"


class Stage(NamedTuple):
    """What every part of the demonstration works with."""

    url: str
    database: Path
    log: Path


@contextmanager
def server(home: Path) -> Iterator[Stage]:
    """A server of its own, on a free port of this machine, over SQLite."""
    database, log = home / "server.db", home / "server.log"
    command = [sys.executable, "-m", "coffret_server", "serve", "--port", "0"]
    command += ["--database", f"sqlite:///{database}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: S603 - our own server
    try:
        yield Stage(_address(process, log), database, log)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the server says it listens on."""
    for _ in range(300):
        first, _, _ = log.read_text(errors="replace").partition("\n")
        if first.startswith("listening on "):
            return first.split()[-1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    message = f"the server did not start; {log} says why"
    raise SystemExit(message)


def make_vault(stage: Stage, passphrase: str) -> tuple[Vault, RecoveryKit]:
    """Part 1: an owner, her keys, her recovery kit."""
    show.heading(1, "A server, and an owner's vault")
    show.say(f"A server runs on {stage.url}, with SQLite in {stage.database}.")
    with show.timed("vault created: keys made on this device, passphrase stretched by Argon2id"):
        vault, kit = Vault.create(stage.url, "ana", passphrase, HOME / "laptop")
    show.panel(kit.text(), "printed once, never sent")
    return vault, kit


def import_memories(vault: Vault, sources: Sequence[Path]) -> Sequence[Memory]:
    """Part 2: real input, sealed here and uploaded."""
    show.heading(2, "Import")
    for source in sources:
        with show.timed(f"imported {source.name}"), show.bars() as progress:
            report = vault.import_drafts(read_source(source), progress)
        show.say(f"    {report.created} memories, {len(report.skipped)} skipped")
        for item in report.skipped[:5]:
            show.say(f"    skipped {item.source}: {item.reason}")
    memories = vault.list()
    if not memories:
        message = "nothing was found to import"
        raise SystemExit(message)
    return memories


def search(vault: Vault, kit: RecoveryKit, passphrase: str, questions: Sequence[str]) -> Vault:
    """Part 3: search here, then on a second device, which finds the same."""
    show.heading(3, "Semantic search on the device, then on a second one")
    with show.timed("index built (once; then it is kept up to date)"), show.bars() as progress:
        vault.search(questions[0], progress)
    if vault.search_notice:
        show.say(f"  {vault.search_notice}")
    first = []
    for question in questions:
        with show.timed("searched: question embedded, memories ranked, hits opened"):
            first.append(vault.search(question, limit=3))
        show.hits(question, first[-1])
    with show.timed("second device logged in with passphrase and Secret Key, and synced"):
        code = kit.secret_key_code()
        phone = Vault.login(vault.status().origin, "ana", passphrase, code, HOME / "phone")
    with show.timed("its own index built"), show.bars() as progress:
        second = [phone.search(question, progress, limit=3) for question in questions]
    same = [[hit.memory.id for hit in found] for found in first] == [
        [hit.memory.id for hit in found] for found in second
    ]
    assert same, "the second device found something else"
    show.say("  The second device finds the same memories, in the same order.")
    return phone


def ask(stage: Stage, vault: Vault, tag: str) -> tuple[App, str, str]:
    """Part 4: an app asks; the owner looks, and approves fewer than asked."""
    show.heading(4, "An app asks for access, and gets what the owner approves")
    key = register_developer(stage.url, "Wayfarer Labs", "dev@wayfarer.example")
    app = App.register(stage.url, key, "Wayfarer", HOMEPAGE, HOME / "app" / "app.json")
    request = app.request_access(
        "ana",
        scopes={"read", "create"},
        purpose="Plan trips that fit what you liked before",
        retention="Nothing is kept after 30 days",
        duration=timedelta(days=30),
        tags={tag},
    )
    asked = vault.requests()[0]
    show.panel(
        f"{asked.app.name} ({asked.app.homepage})\n"
        f"wants to:  {', '.join(sorted(asked.scopes))}\n"
        f"which:     {asked.selection.describe()} ({len(asked.matching)} match now)\n"
        f"what for:  {asked.purpose}\n"
        f"keeps:     {asked.retention}\n"
        f"for:       {asked.duration.days} days",
        "what the owner sees, read from what the app signed",
    )
    show.say("  It would read: " + " · ".join(memory.title for memory in asked.matching))
    withheld = [memory.id for memory in asked.matching[: max(1, len(asked.matching) // 5)]]
    if len(withheld) == len(asked.matching):
        withheld = []
    show.say(f"  The app shows its eight words, and the owner types them: {app.words}")
    with show.timed("approved: a key for this grant, sealed to the app (X-Wing)"):
        grant = vault.approve(request, exclude=withheld, words=app.words)
    shared, matching = vault.grant(grant).memories, len(asked.matching)
    show.say(f"  Shared {shared} of {matching}: {len(withheld)} were left out by the owner.")
    return app, request, grant


def use(vault: Vault, access: Access, tag: str) -> Memory:
    """The app reads, searches and writes; the owner accepts."""
    with show.timed("the app read what was granted"):
        readable = access.memories()
    with show.timed("the app searched it, in its own process"):
        found = access.search("a place to stay near the sea", limit=3)
    show.hits("a place to stay near the sea (the app)", found)
    written = access.remember(
        "Prefers small guesthouses near the water, booked for three nights or more.",
        title="Where to stay",
        type="preference",
        tags=[tag],
        importance=0.6,
    )
    vault.sync()
    for item in vault.pending():
        title = item.proposed.title if item.proposed else "?"
        show.say(f"  Pending for the owner: “{title}”, written by the app {item.app_id}")
    accepted = vault.accept(written.id)
    show.say(f"  Accepted: it stays marked as written by {accepted.author if accepted else '?'}.")
    show.say(f"  The app can read {len(readable)} of {vault.status().memories} memories.")
    return written


def stored_record(stage: Stage, memory_id: str) -> Record:
    """A memory's newest record, taken straight from the server's database."""
    query = "SELECT record FROM entries WHERE subject = ? AND kind = 'put' ORDER BY version DESC"
    with closing(sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True)) as database:
        (packed,) = database.execute(query, (parse_id(memory_id),)).fetchone()
    return msgspec.msgpack.decode(packed, type=Record)


def opens(access: Access, record: Record, wraps: Sequence[bytes]) -> bool:
    """Whether an app opens a record with its grant's key and every wrap it was ever given."""
    held = access._held  # noqa: SLF001 - the attacker is inside the app
    header = HEADER.parse(record.header)
    wrapping = Wrapping(Kek(grant_id=held.grant.grant_id), held.key)
    for wrap in (record.wrap, *wraps):
        try:
            key = unwrap_memory_key(header, wrap, wrapping)
            open_version(record.header, record.envelope, key)
        except OpenError:
            continue
        return True
    return False


def every_wrap(stage: Stage) -> list[bytes]:
    """Every wrapped key that the server has for any app: one in league with it hands them over."""
    with closing(sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True)) as database:
        return [wrap for (wrap,) in database.execute("SELECT wrap FROM grant_wraps")]


def shut_out(stage: Stage, vault: Vault, access: Access, grant: str) -> None:
    """The app at its limits: what was not granted, and what comes after the revocation."""
    kept = every_wrap(stage)
    granted = access.memories()
    private = "The spare key is under the third flowerpot, and nobody else knows."
    outside = vault.remember(private, title="Spare key", sealed=True)
    example = next(memory for memory in granted if memory.author == "owner")
    assert opens(access, stored_record(stage, example.id), kept), "the control has to open"
    assert not opens(access, stored_record(stage, outside.id), kept), "opened outside its grant"
    show.say("  Handed a memory outside its grant by the server itself, the app cannot open it")
    show.say("  (handed one inside it in the same way, it can: the attempt is a real one).")
    with show.timed("the owner revoked the grant"):
        vault.revoke(grant)
    try:
        access.memories()
    except GrantError as error:
        show.say(f"  The app asks again and is told: {error}")
    vault.update(example.id, content=example.content + "\n\nWritten after the revocation.")
    after = stored_record(stage, example.id)
    assert not opens(access, after, kept + every_wrap(stage)), "opened what came after"
    show.say("  What is written afterwards the app cannot open with anything it kept.")
    with show.timed("fresh keys for the rest of what it could read"):
        rotated = vault.rotate(grant)
    show.say(f"    {rotated} memories were sealed anew. What was read before cannot be unread.")


def server_holds(stage: Stage, secrets_: dict[str, list[bytes]]) -> None:
    """Part 5: the server's rows as they are, and the proof that it is blind."""
    show.heading(5, "What the server holds")
    with closing(sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True)) as database:
        shown = database.execute(
            "SELECT lower(hex(subject)), version, length(record), lower(substr(hex(record), 701)) "
            "FROM entries WHERE record IS NOT NULL ORDER BY seq DESC LIMIT 5"
        ).fetchall()
        tags = database.execute(
            "SELECT tag, count(*) FROM memory_tags GROUP BY tag ORDER BY 2 DESC LIMIT 8"
        ).fetchall()
    show.rows(
        "rows of its table of entries",
        ("memory", "version", "bytes", "the record, from its 350th byte on"),
        [(key[-12:], str(version), str(size), body[:36]) for key, version, size, body in shown],
    )
    seen = ", ".join(f"{tag} ({count})" for tag, count in tags)
    show.say(f"  What it can read: titles, importance, and tags such as {seen}")
    files = [stage.database, Path(f"{stage.database}-wal"), stage.log]
    with show.timed("searched its database, write-ahead log and log for everything secret"):
        result = scan.scan(files, secrets_)
    show.say(
        f"    {result.needles:,} secrets in {result.forms:,} forms, "
        f"in {result.looked_at:,} bytes: {len(result.found)} found"
    )
    assert not result.found, f"the server holds {result.found[:3]}"
    control = scan.scan(files, {"app": scan.text_forms(HOMEPAGE)})
    assert control.found, "the scan finds nothing at all"
    show.say("    (the same search does find the app's address, which the server may see)")


def needles(
    vault: Vault, kit: RecoveryKit, passphrase: str, questions: Sequence[str]
) -> dict[str, list[bytes]]:
    """Everything that the server must not have, in the forms in which it could have it."""
    memories = vault.list()
    titles = " ".join(memory.title for memory in memories)
    wanted = {
        "passphrase": scan.text_forms(passphrase),
        "Secret Key": [
            *scan.text_forms(kit.secret_key_code()),
            *scan.secret_forms(kit.secret_key.reveal()),
        ],
        "recovery code": scan.secret_forms(kit.recovery_code.reveal()),
    }
    for memory in memories:
        for at, line in enumerate(_lines(memory.content)):
            if line not in titles:
                wanted[f"content of {memory.id}, {at}"] = scan.text_forms(line)
        if memory.summary and memory.summary not in titles:
            wanted[f"summary of {memory.id}"] = scan.text_forms(memory.summary)
    embedder = MiniLmEmbedder()
    for question in questions:
        wanted[f"question {question}"] = scan.text_forms(question)
        vector = embedder.embed_query(question)
        wanted[f"vector of {question}"] = scan.vector_forms(vector)
    contents = [memory.content for memory in memories[:_VECTORS]]
    for memory, vector in zip(memories, embedder.embed_documents(contents), strict=False):
        wanted[f"vector of {memory.id}"] = scan.vector_forms(vector)
    state = vault._state  # noqa: SLF001 - the keys themselves are looked for
    for row in state.store.current_records():
        key = open_record(state, row.record).key
        wanted[f"memory key of {row.memory_id.hex()}"] = scan.secret_forms(key.reveal())
    wanted["account key"] = scan.secret_forms(state.keys.keyring.account_key().reveal())
    return wanted


def _lines(content: str) -> list[str]:
    """Pieces of a content that are long enough to be nobody else's."""
    return [line.strip()[:80] for line in content.splitlines() if len(line.strip()) >= _LINE][:3]


_LINE = 40
_VECTORS = 25


def main() -> int:
    """Run every part; the exit code says whether all of it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, help="import this folder instead")
    arguments = parser.parse_args()
    sources = [arguments.source] if arguments.source else list(CORPUS)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(mode=0o700)
    passphrase = secrets.token_urlsafe(18)
    try:
        with server(HOME) as stage:
            run(stage, passphrase, sources)
    except CoffretError as error:
        show.say(f"coffret: {error}")
        return error.exit_code
    return 0


def run(stage: Stage, passphrase: str, sources: Sequence[Path]) -> None:
    """The parts, one after another."""
    vault, kit = make_vault(stage, passphrase)
    memories = import_memories(vault, sources)
    questions = QUESTIONS if sources == list(CORPUS) else _own_questions(memories)
    phone = search(vault, kit, passphrase, questions)
    tag = _tag(vault, memories)
    app, request, grant = ask(stage, vault, tag)
    access = app.access(request)
    use(vault, access, tag)
    shut_out(stage, vault, access, grant)
    phone.sync()
    server_holds(stage, needles(vault, kit, passphrase, questions))
    for closing_down in (app, phone, vault):
        closing_down.close()
    show.say(f"\nAll of it held. What was made is in {HOME}; `make serve` runs your own server.")


def _own_questions(memories: Sequence[Memory]) -> tuple[str, ...]:
    """Questions about somebody's own folder: its titles say best what it is about.

    None is a title, which the server may see: it must not hold what was asked.
    """
    titles = [memory.title for memory in memories if memory.title]
    return tuple(f"what did I write about {title}" for title in titles[:3]) or (
        "what matters most here",
    )


def _tag(vault: Vault, memories: Sequence[Memory]) -> str:
    """The tag that the app asks for: travel, or what a folder of one's own uses most."""
    used = vault.tags()
    if TRAVEL in used:
        return TRAVEL
    if used:
        return next(iter(used))
    for memory in memories[:3]:
        vault.update(memory.id, tags=[TRAVEL])
    show.say(f"  Nothing in this folder is tagged; three memories were tagged {TRAVEL}.")
    return TRAVEL


if __name__ == "__main__":
    sys.exit(main())
