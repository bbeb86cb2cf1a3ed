"""Entry point of `tap-campusgroups` and `python -m tap_campusgroups`."""

from __future__ import annotations

import gc
import logging
import signal
import sys

GC_THRESHOLD = 50_000


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Before the imports, during which Python's own handler would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Rows cannot form cycles, and imported modules stay: the collector needs to look at neither
    # after every 700 new objects. Cycles of other objects are still collected.
    gc.disable()
    from singer_sdk.metrics import METRICS_LOGGER_NAME  # noqa: PLC0415

    from tap_campusgroups.shutdown import SHUTDOWN  # noqa: PLC0415
    from tap_campusgroups.tap import TapCampusGroups  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()

    # No METRIC lines, unless SINGER_SDK_LOG_CONFIG gives this logger a handler or propagation.
    logging.getLogger(METRICS_LOGGER_NAME).propagate = False
    # Configures logging, and SINGER_SDK_LOG_CONFIG may disable all loggers that exist before.
    try:
        command = TapCampusGroups.cli
    except Exception as error:  # noqa: BLE001 - of logging, of YAML or of the file system
        msg = (
            f"Logging cannot be set up: {type(error).__name__}. Correct TAP_CAMPUSGROUPS_LOGLEVEL, "
            "LOGLEVEL or the file of SINGER_SDK_LOG_CONFIG."
        )
        sys.exit(msg)
    # The SDK warns of missing settings before `--discover`, which needs none.
    TapCampusGroups.logger.addFilter(lambda record: record.msg != "Config validation failed")
    SHUTDOWN.run_process(command, TapCampusGroups.logger)


if __name__ == "__main__":
    main()
