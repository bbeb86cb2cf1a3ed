"""Entry point of `tap-campusgroups-probe` and `python -m tap_campusgroups.probe`."""

from __future__ import annotations

from tap_campusgroups.probe.run import command
from tap_campusgroups.tap import TapCampusGroups


def main() -> None:
    """Run the command line."""
    TapCampusGroups.cli  # noqa: B018 - configures logging
    command().main()


if __name__ == "__main__":
    main()
