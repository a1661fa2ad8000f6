"""All targets, by name."""

from __future__ import annotations

from fuzz import (
    answers,
    cases,
    folders,
    imports,
    kept,
    messages,
    objects,
    openings,
    requests,
    sealed,
    texts,
    trees,
)

ROOMS = (
    objects,
    texts,
    trees,
    sealed,
    kept,
    imports,
    messages,
    folders,
    openings,
    requests,
    answers,
    cases,
)
TARGETS = {target.name: target for room in ROOMS for target in room.TARGETS}
