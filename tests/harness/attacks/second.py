"""Rows 17 to 32: history, keys of others, and the constructions themselves."""

from __future__ import annotations

from harness.attacks.row import Row, Verdict

ROWS = (
    Row(
        17,
        "Serve an old copy of everything",
        "server",
        Verdict.NOTICED,
        "A device that has seen more stops with a TrustError. A device that has just entered "
        "cannot know: it is unverified until a recovery kit or another device confirms its head.",
    ),
    Row(
        18,
        "Serve an old version of one memory",
        "server",
        Verdict.REFUSED,
        "The log says which version is current; another is a TrustError.",
    ),
    Row(
        19,
        "Show two devices different histories",
        "server",
        Verdict.NOTICED,
        "Neither device takes the other's log, and each one's head is an alarm on the other; two "
        "heads of one size are evidence that anybody can check.",
    ),
    Row(
        20,
        "Insert memories, grants or keyslots of the server's own making",
        "server",
        Verdict.REFUSED,
        "What the owner's or a granted app's signature is not under is a TrustError.",
    ),
    Row(
        21,
        "Replace the wrapped account key by one that the server knows",
        "server",
        Verdict.REFUSED,
        "Keyslots are wrapped symmetrically under what only the owner knows.",
    ),
    Row(
        22,
        "Give the server's key for an app's when an owner shares",
        "server",
        Verdict.REFUSED,
        "The owner types the app's own words and the app's website is asked, so that other keys "
        "are refused at first sight; later they differ from the pinned ones.",
    ),
    Row(
        23,
        "Replace one half of an app's hybrid key",
        "server",
        Verdict.REFUSED,
        "The manifest is signed and its fingerprint covers both halves.",
    ),
    Row(
        24,
        "Add a device to an account",
        "server",
        Verdict.HARMLESS,
        "There is no list of devices: a device is whoever holds the account key. Sessions and "
        "keyslots that the server invents open nothing; an unlogged keyslot is a TrustError.",
    ),
    Row(
        25,
        "Show an app's identity differently to one owner",
        "server",
        Verdict.REFUSED,
        "There is no directory to equivocate: what remains is another manifest for one owner, "
        "which has other fingerprint words.",
    ),
    Row(
        26,
        "Make one ciphertext that two keys open to two texts",
        "app, server",
        Verdict.REFUSED,
        "Envelopes commit to their key.",
    ),
    Row(
        27,
        "Test many keys with one ciphertext",
        "server, network",
        Verdict.REFUSED,
        "Envelopes commit to their key, and lengths are checked before anything is opened.",
    ),
    Row(
        28,
        "Make a device repeat a nonce by cloning or restoring it",
        "thief, developer",
        Verdict.HARMLESS,
        "Every message has a key and a nonce from 256 random bits of its own; there are no "
        "counters to turn back.",
    ),
    Row(
        29,
        "Pass an object of one kind off as another",
        "server, app",
        Verdict.REFUSED,
        "The purpose is in every key and under every signature.",
    ),
    Row(
        30,
        "Make two readings of the same bytes, or two spellings of one object",
        "server, app",
        Verdict.REFUSED,
        "Fields are length-prefixed and each object has one encoding; another is a FormatError.",
    ),
    Row(
        31,
        "Cut off, reorder or splice the parts of a stream",
        "server, thief",
        Verdict.REFUSED,
        "The only stream is the sealed index; it opens whole and in its place, or it is rebuilt.",
    ),
    Row(
        32,
        "Make a client act on the beginning of a forged stream",
        "server, thief",
        Verdict.REFUSED,
        "Nothing of a stream is given out before its end was verified.",
    ),
)
