"""What of the server reads each kind of object, by the name that the kind has for devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_server.wire import apps, identity, log, records

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: dict[str, Callable[[bytes], object]] = {
    "account": identity.parse_card,
    "keyslot": identity.parse_keyslot,
    "succession": identity.parse_succession,
    "account-deletion": identity.parse_deletion,
    "memory-header": records.parse_header,
    "log-entry": log.parse_entry,
    "app-manifest": apps.parse_manifest,
    "selector": apps.check_selector,
    "access-request": apps.parse_request,
    "grant": apps.parse_grant,
}
