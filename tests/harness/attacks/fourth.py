"""Rows 49 to 64: local files, side channels, concurrency, and what is published."""

from __future__ import annotations

from harness.attacks.row import Row, Verdict

ROWS = (
    Row(
        49,
        "Damage the local database or the index",
        "thief, developer",
        Verdict.REFUSED,
        "An error or a rebuild, never a crash; no parser sees what was not authenticated.",
    ),
    Row(
        50,
        "Get hold of embeddings and invert them",
        "server, app",
        Verdict.HARMLESS,
        "Vectors never leave the device and are sealed on disk.",
    ),
    Row(
        51,
        "Infer contents from sizes",
        "server",
        Verdict.HARMLESS,
        "All lengths within a bucket are one size on the wire; nothing is compressed.",
    ),
    Row(
        52,
        "Plant memories and watch sizes and traffic to learn of others",
        "app, server",
        Verdict.HARMLESS,
        "No deduplication, no compression; traffic does not depend on what other memories say.",
    ),
    Row(
        53,
        "Learn from which memories are read, and when",
        "server",
        Verdict.HARMLESS,
        "Search and reading make no request; the server sees when a device syncs, and which old "
        "versions are asked for. An app fetches alike whatever it searches.",
    ),
    Row(
        54,
        "Find keys in links",
        "server, network",
        Verdict.HARMLESS,
        "There are no links with keys, and no key is in any address that is requested.",
    ),
    Row(
        55,
        "Make a client go on writing under a key that is stale",
        "server",
        Verdict.NOTICED,
        "Who saw a revocation writes under fresh keys, and not at all on a log without it. A "
        "device from which it is hidden writes on a branch, which shows when two devices meet.",
    ),
    Row(
        56,
        "Take the writes of two devices over one another",
        "server",
        Verdict.REFUSED,
        "An append is on top of the head that the server has, or is made again; a write that a "
        "server took and dropped is missed at the next sync.",
    ),
    Row(
        57,
        "Keep a keyslot from before a passphrase was changed",
        "server, thief",
        Verdict.REFUSED,
        "After a change because someone may know it, old secrets open nothing written later.",
    ),
    Row(
        58,
        "Give a false share, or collude as guardians",
        "thief",
        Verdict.ELSEWHERE,
        "There are no guardians and no shares: recovery is by a code that only the owner holds.",
    ),
    Row(
        59,
        "Push an owner into recovery",
        "server",
        Verdict.HARMLESS,
        "Recovery begins with the owner; no answer starts it.",
    ),
    Row(
        60,
        "Remove or alter entries of the audit trail",
        "server",
        Verdict.REFUSED,
        "The trail is the log under the owner's signature; `coffret verify-audit`, with a file "
        "that was kept, names each entry that was removed, altered or moved, without any key.",
    ),
    Row(
        61,
        "Send bombs: deep, long, or with lengths that lie",
        "server, app",
        Verdict.REFUSED,
        "Sizes and nesting are bounded before anything is parsed, and no length is believed.",
    ),
    Row(
        62,
        "Ship a client with a back door",
        "developer",
        Verdict.UNSTOPPABLE,
        "Dependencies are pinned by hash, and the same source gives the same bytes, so that a "
        "build can be compared; the server never delivers code.",
    ),
    Row(
        63,
        "Keep what is sealed today until it can be broken",
        "network, server",
        Verdict.HARMLESS,
        "What is sealed to an app's key is sealed to a hybrid of X25519 and ML-KEM-768.",
    ),
    Row(
        64,
        "Find secrets in logs, messages and representations",
        "developer, thief",
        Verdict.HARMLESS,
        "No secret is in a log line, an error or a representation, wherever something fails.",
    ),
)
