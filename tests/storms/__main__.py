"""Play storms: `python -m tests.storms --seeds 5000`, or one seed alone with `--first`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.storms import odd_pages
from tests.storms.changing_source import CHANGING_SOURCE
from tests.storms.faulty_service import FAULTY_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable

STORMS: dict[str, Callable[[int], str | None]] = {
    FAULTY_SERVICE.name: FAULTY_SERVICE.play,
    CHANGING_SOURCE.name: CHANGING_SOURCE.play,
    odd_pages.NAME: odd_pages.play,
}
"""Each plays a seed and returns the violation of an invariant, if there is one."""


def violations(name: str, *, first: int, seeds: int) -> int:
    """Play seeds of a storm; print each violation and how to play its seed; return their number."""
    count = 0
    for seed in range(first, first + seeds):
        if (found := STORMS[name](seed)) is not None:
            count += 1
            command = f".build/venv/bin/python -m tests.storms --storm {name} --first {seed}"
            print(f"storm {name}, seed {seed}: {found}\n  alone: {command}", flush=True)  # noqa: T201
    print(f"storm {name}: {seeds} seeds, {count} violations", flush=True)  # noqa: T201
    return count


def main() -> None:
    """Play the storms of the command line; exit with 1 after a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.storms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--storm", choices=STORMS, action="append", help="default: all")
    options = parser.parse_args()
    names = options.storm or STORMS
    found = [violations(name, first=options.first, seeds=options.seeds) for name in names]
    sys.exit(int(any(found)))


if __name__ == "__main__":
    main()
