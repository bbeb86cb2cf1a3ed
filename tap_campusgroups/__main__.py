"""Entry point of the command `tap-campusgroups` and of `python -m tap_campusgroups`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Before the imports: Python's own handler would print a traceback of them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tap_campusgroups.shutdown import SHUTDOWN  # noqa: PLC0415
    from tap_campusgroups.tap import TapCampusGroups  # noqa: PLC0415

    SHUTDOWN.run_process(TapCampusGroups.cli, TapCampusGroups.logger)


if __name__ == "__main__":
    main()
