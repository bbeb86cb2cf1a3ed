"""Run storms: `python -m tests.storms --seeds 5000`, or one seed alone with `--first`."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.storms.table import STORMS, violation


def main() -> int:
    """Run the seeds of the chosen storms; return 1 if one violates an invariant."""
    parser = argparse.ArgumentParser(prog="python -m tests.storms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--storm", choices=STORMS, action="append", help="default: all")
    options = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    violations = 0
    for name in options.storm or STORMS:
        began = time.monotonic()
        for seed in range(options.first, options.first + options.seeds):
            if (found := violation(name, seed)) is not None:
                violations += 1
                print(f"{found}\n", flush=True)  # noqa: T201
        seconds = time.monotonic() - began
        print(f"{name}: {options.seeds} seeds, {seconds:.0f} s", flush=True)  # noqa: T201
    print(f"{violations} violations")  # noqa: T201
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
