"""The tap: settings checked, streams discovered, errors told in one line."""

from __future__ import annotations

import logging
import os
import sys
import typing as t
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

from singer_sdk import Tap, mapper
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import Catalog, CatalogEntry, MetadataMapping
from singer_sdk.tap_base import CliTestOptionValue

from tap_campusgroups.cli import Command
from tap_campusgroups.config import (
    CONFIG,
    ApiVersion,
    Settings,
    api_version,
    bad_settings,
    environment_problems,
    redact_errors,
)
from tap_campusgroups.connection_test import check_access
from tap_campusgroups.exceptions import InputError, SettingsError
from tap_campusgroups.input_files import (
    check_catalog,
    check_state,
    checked_bookmark,
    origin,
    quoted,
)
from tap_campusgroups.records.json_codec import decode_value
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.shutdown import SHUTDOWN
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.sync import SyncRun

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from types import FrameType

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_campusgroups.client import CampusGroupsStream


# By value: versions of the SDK keep the members in different classes. A list of what the tap has,
# because a new capability brings settings or messages of its own. Absent are BATCH, which bypasses
# stream maps and so masking, ACTIVATE_VERSION, since the service marks deleted rows itself, and
# START_DATE (SDK 0.55), since the tap has its own setting.
_CAPABILITIES: t.Final = {
    "about",
    "catalog",
    "discover",
    "schema-flattening",
    "state",
    "stream-maps",
    "structured-logging",
}


class TapCampusGroups(Tap):
    """Singer tap for the CampusGroups Data Export API."""

    name = "tap-campusgroups"
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = deepcopy(CONFIG)  # the SDK adds its own
    message_writer_class = PageWriter

    capabilities: t.ClassVar[list[CapabilitiesEnum]] = [
        capability for capability in Tap.capabilities if capability.value in _CAPABILITIES
    ]

    @override
    def __init__(
        self,
        *,
        parse_env_config: bool = False,
        validate_config: bool = True,
        setup_mapper: bool = True,
        catalog: t.Any = None,
        **kwargs: t.Any,
    ) -> None:
        _quieten_loggers_of_data()
        if isinstance(catalog, Mapping) and not isinstance(catalog, Catalog):
            check_catalog(catalog)
        try:
            super().__init__(
                parse_env_config=parse_env_config,
                validate_config=validate_config,
                catalog=catalog,
                setup_mapper=False,  # done below, where the settings are known to be valid
                **kwargs,
            )
        except ConfigValidationError as error:
            # The SDK's messages quote the invalid value, which can be the secret.
            raise SettingsError(bad_settings(redact_errors(error.errors))) from None
        except ValueError:
            if parse_env_config and (problems := environment_problems(os.environ)):
                raise SettingsError(bad_settings(problems)) from None
            raise
        if validate_config:
            Settings.from_config(self.config)
        if setup_mapper:
            self.setup_mapper()

    @override
    def discover_streams(self) -> list[CampusGroupsStream]:
        return [stream(self) for stream in STREAMS[api_version(self.config)]]

    @override  # type: ignore[misc] # see below
    def sync_all(self) -> None:
        # Final in the SDK, but the only frame around a whole run, which has to end the workers.
        # tests/tap/test_sdk_contract.py pins that the SDK calls it.
        SHUTDOWN.check()
        self._check_selection()
        with SyncRun(self._selected_streams(), self.logger):
            try:
                super().sync_all()
            finally:
                self._write_last_state()
        SHUTDOWN.check()

    def _write_last_state(self) -> None:
        """Write the state again if records followed it: some targets forget it then."""
        writer = self.message_writer
        if isinstance(writer, PageWriter) and writer.is_state_due:
            writer.write_message(StateMessage(value=self.state))

    @override
    def setup_mapper(self) -> None:
        # SDK 0.54 gives a deselected stream an empty schema, and its stream map fails because the
        # key is missing. 0.55 keeps the schema, so this method can go when 0.54 does.
        PluginBase.setup_mapper(self)
        self.mapper.register_raw_streams_from_catalog(
            Catalog(
                (entry.tap_stream_id, entry if _is_selected(entry) else _whole(entry))
                for entry in self.catalog.streams
            )
        )

    def _selected_streams(self) -> list[CampusGroupsStream]:
        streams = t.cast("list[CampusGroupsStream]", list(self.streams.values()))
        return [stream for stream in streams if stream.selected]

    def _check_selection(self) -> None:
        """Check that there is something to read, and that nothing selected would be left out.

        Raises:
            InputError: If not.
        """
        entries = [] if self.input_catalog is None else self.input_catalog.streams
        selected = [entry for entry in entries if _is_selected(entry)]
        if renamed := [e for e in selected if e.stream and e.stream != e.tap_stream_id]:
            names = ", ".join(quoted(entry.tap_stream_id) for entry in renamed)
            msg = (
                f"{origin('catalog')} has another name in stream than in tap_stream_id for "
                f"{names}. To rename a stream, use stream_maps with __alias__."
            )
            raise InputError(msg)
        if unknown := {entry.tap_stream_id for entry in selected} - set(self.streams):
            version = api_version(self.config)
            is_later = unknown <= {stream.name for stream in STREAMS[ApiVersion.V1_1]}
            fix = 'Set api_version to "1.1"' if is_later else "Make a new catalog with --discover"
            names = ", ".join(map(quoted, sorted(unknown)))
            msg = (
                f"{origin('catalog')} selects streams that the tap does not have with api_version "
                f"{version.value}: {names}. {fix}, or deselect them."
            )
            raise InputError(msg)
        if not self._selected_streams():
            msg = (
                f"No stream is selected: {origin('catalog')} selects none of {len(entries)}. "
                'Select at least one; in meltano.yml, for instance, with select: ["events.*"].'
            )
            raise InputError(msg)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # Internal to the SDK, which makes it the handler of SIGINT and SIGTERM: its own would raise
        # from the handler, and exit with 0; tests/shutdown/test_shutdown.py pins it.
        SHUTDOWN.request(signum)

    @override
    def load_state(self, state: dict[str, t.Any]) -> None:
        """Take over a state, its bookmarks in the one form that they are compared in.

        Entries of streams that are not selected are kept as they are, whatever they hold.

        Args:
            state: What an earlier run emitted last.

        Raises:
            InputError: If the state, or the entry of a selected stream, cannot be used.
        """
        check_state(state)
        if bookmarks := state.get("bookmarks"):
            selected = {stream.name for stream in self._selected_streams()}
            self.state["bookmarks"] = {
                name: checked_bookmark(name, entry) if name in selected else entry
                for name, entry in bookmarks.items()
            }

    @override
    def _reset_state_progress_markers(self) -> None:
        # Internal to the SDK, and done by `load_state`: entries of streams that are not selected
        # may hold anything. tests/state/test_state_files.py pins that the SDK calls it.
        return

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError, RecursionError):
            msg = f"--config {' '.join(value)}: no file, or no JSON object in it."
            raise SettingsError(msg) from None

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Check the settings and the access, where the SDK would run an export of every stream.

        Args:
            ctx: The command line's; of its parameters `config` and `catalog` are used, which are
                eager and so processed before this option, wherever they stand.
            param: The option.
            value: What it was given; `schema` writes the schemas of the selected streams.
        """
        if value == CliTestOptionValue.Disabled.value:
            return
        config, catalog = ctx.params["config"], ctx.params["catalog"]
        tap = cls(
            config=config.config,
            catalog=None if catalog is None else decode_value(catalog.read()),
            parse_env_config=config.parse_env,
        )
        tap._check_selection()
        if value == CliTestOptionValue.Schema.value:
            # The SDK selects every stream that the tap has before it writes the schemas.
            for name in [name for name, stream in tap.streams.items() if not stream.selected]:
                del tap.streams[name]
            tap.write_schemas()
        else:
            streams = tap._selected_streams()
            if tap.input_catalog is not None:
                cls.logger.info(
                    "Testing %d of %d streams, as selected by %s",
                    len(streams),
                    len(tap.streams),
                    origin("catalog"),
                )
            check_access(streams, cls.logger)
        ctx.exit()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return Command.like(super().get_singer_command(), cls.logger)


def _quieten_loggers_of_data() -> None:
    """Raise the levels of loggers that would quote rows or headers."""
    # At DEBUG it tells what a filter makes of each row.
    logging.getLogger(mapper.__name__).setLevel(logging.INFO)
    # It quotes what it cannot read of an answer's headers.
    logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


def _is_selected(entry: CatalogEntry) -> bool:
    return entry.metadata.resolve_selection()[()]


def _whole(entry: CatalogEntry) -> CatalogEntry:
    """Return the entry as if nothing in it were deselected."""
    return replace(entry, metadata=MetadataMapping())
