"""The command line: errors in one line, exit codes, and files that are what they should be."""

from __future__ import annotations

import errno
import sys
import typing as t

import click
from singer_sdk.plugin_base import SingerCommand

from tap_campusgroups.exceptions import CampusGroupsError, output_error
from tap_campusgroups.input_files import read_input

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    import logging
    from typing import Self

_HELP_OF_TEST: t.Final = (
    "Check the settings, and which streams the secret may read, by a small export of each. Use "
    "--test=schema to write the schemas."
)

_ERRORS_OF_A_WRITE: t.Final = {
    errno.EBADF,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
}


class Command(SingerCommand):
    """The command line, on which the tap's own errors are one line and exit code 1."""

    @classmethod
    def like(cls, command: click.Command, logger: logging.Logger) -> Self:
        """Make the command of one that the SDK has made.

        Args:
            command: The SDK's, with its options.
            logger: For the line.
        """
        for option in command.params:
            if isinstance(option, click.Option) and option.name == "test":
                option.help = _HELP_OF_TEST
            elif option.name in {"catalog", "state"}:
                option.is_eager = True  # as `--config`: the callback of `--test` comes later
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
            self.logger.error("%s", error)  # noqa: TRY400 - no traceback: the line says it all
            sys.exit(1)
        except OSError as error:  # of `--discover` and `--about`, which print
            if error.errno not in _ERRORS_OF_A_WRITE:
                raise
            self.logger.error("%s", output_error(error))  # noqa: TRY400 - the message is complete
            sys.exit(1)
