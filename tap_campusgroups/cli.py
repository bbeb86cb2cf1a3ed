"""The command line: the tap's errors as one line, and checks of its input files."""

from __future__ import annotations

import sys
import typing as t
from errno import EAGAIN, EBADF, EDQUOT, EFBIG, EIO, ENOSPC

import click
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_campusgroups.exceptions import CampusGroupsError, output_error
from tap_campusgroups.input_files import read_input

if t.TYPE_CHECKING:
    import logging
    from typing import Self

_TEST_HELP: t.Final = (
    "Check the settings and run a small export of each selected stream to check access. Use "
    "--test=schema to write the SCHEMA messages of the selected streams instead."
)

_WRITE_ERRORS: t.Final = {EAGAIN, EBADF, EDQUOT, EFBIG, EIO, ENOSPC}


class Command(SingerCommand):
    """The SDK's command, with one log line and exit code 1 for an error of the tap."""

    @classmethod
    def wrap(cls, command: click.Command, logger: logging.Logger) -> Self:
        """Return a copy of the SDK's command with this tap's options."""
        for option in command.params:
            if isinstance(option, click.Option) and option.name == "test":
                option.help = _TEST_HELP
            elif option.name in {"catalog", "state"}:
                option.is_eager = True  # like `--config`: read before the callback of `--test`
                option.type = click.File("rb")
                option.callback = read_input
        return cls(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
            help=command.help,
            logger=logger,
        )

    @override
    def main(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return super().main(*args, **kwargs)
        except CampusGroupsError as error:
            message = error
        except OSError as error:  # `--discover` and `--about` print
            if error.errno not in _WRITE_ERRORS:
                raise
            message = output_error(error)
        self.logger.error("%s", message)
        sys.exit(1)
