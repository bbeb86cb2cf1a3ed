"""All storms by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.storms import odd_pages
from tests.storms.changing_source import CHANGING_SOURCE
from tests.storms.faulty_service import FAULTY_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.storms.storm import Storm


def _play(storm: Storm, seed: int) -> str | None:
    try:
        storm.play(seed)
    except AssertionError as found:
        moves, violation = storm.reduce(seed, found)
        return f"{violation}\n  moves: {', '.join(moves)}"
    return None


STORMS: dict[str, Callable[[int], str | None]] = {
    FAULTY_SERVICE.name: partial(_play, FAULTY_SERVICE),
    CHANGING_SOURCE.name: partial(_play, CHANGING_SOURCE),
    odd_pages.NAME: odd_pages.play,
}
"""Each plays a seed and returns the violation of an invariant, if there is one."""


def violation(name: str, seed: int) -> str | None:
    """Play a seed of a storm; return its violation, and how to run the seed alone."""
    if (found := STORMS[name](seed)) is None:
        return None
    command = f".venv/bin/python -m tests.storms --storm {name} --first {seed}"
    return f"storm {name}, seed {seed}: {found}\n  alone: {command}"
