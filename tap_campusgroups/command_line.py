"""The command line: errors in one line, exit codes, and files that are what they should be."""

from __future__ import annotations

import errno
import io
import json
import sys
import typing as t

import click
from singer_sdk.plugin_base import SingerCommand

from tap_campusgroups.errors import CampusGroupsError, InputError, output_error

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
                option.callback = _checked_file
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
            if error.errno != errno.ENOSPC:
                raise
            self.logger.error("%s", output_error(error))  # noqa: TRY400 - the message is complete
            sys.exit(1)


def _checked_file(
    _: click.Context, option: click.Parameter, file: t.IO[str] | None
) -> t.IO[str] | None:
    """Return the text of a file that holds a JSON object; the file is closed.

    Raises:
        InputError: If it holds anything else; an interrupted job leaves an empty state file behind.
    """
    if file is None:
        return None
    try:
        with file:  # which click would leave open at the end of `--test`
            text = file.read()
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        msg = f"{option.opts[0]} {file.name}: no JSON object in the file."
        raise InputError(msg)
    return io.StringIO(text)


def read_object(file: t.IO[str] | None) -> dict[str, t.Any] | None:
    """Return the JSON object of the value of `--catalog` or `--state`, if one was given."""
    return None if file is None else json.load(file)
