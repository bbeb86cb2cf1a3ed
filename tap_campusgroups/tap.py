"""The tap: settings checked, streams discovered, errors told in one line."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from copy import deepcopy
from dataclasses import replace

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib.catalog import Catalog, CatalogEntry, MetadataMapping
from singer_sdk.tap_base import CliTestOptionValue

from tap_campusgroups.check import check_access
from tap_campusgroups.command_line import Command, Terminated
from tap_campusgroups.errors import InputError, SettingsError
from tap_campusgroups.run import SharedRun
from tap_campusgroups.settings import (
    CONFIG,
    Settings,
    api_version,
    bad_settings,
    environment_problems,
    hide_values,
)
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.values import canonical_instant
from tap_campusgroups.writer import PageWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from types import FrameType

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_campusgroups.base import CampusGroupsStream


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
        **kwargs: t.Any,
    ) -> None:
        self._run = SharedRun(self._selected_streams, self.logger)
        try:
            super().__init__(
                parse_env_config=parse_env_config,
                validate_config=validate_config,
                setup_mapper=False,  # done below, where the settings are known to be valid
                **kwargs,
            )
        except ConfigValidationError as error:
            # The SDK's messages quote the invalid value, which can be the secret.
            raise SettingsError(bad_settings(hide_values(error.errors))) from None
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
        return [stream(self, self._run) for stream in STREAMS[api_version(self.config)]]

    @override  # type: ignore[misc] # see below
    def sync_all(self) -> None:
        # Final in the SDK, and yet the only frame around all that a run does: nothing else could
        # join the workers whatever ends it; tests/test_clean_ends.py pins that the SDK calls it.
        with self._run:
            super().sync_all()

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

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # Internal to the SDK, whose own would write a STATE in the midst of what is being written,
        # and exit with 0. The last state is out already; tests/test_command_line.py pins it.
        if self._run.is_ending:
            return  # it ends within seconds, and in good order
        terminated = Terminated(signum)
        if isinstance(self.message_writer, PageWriter):
            self.message_writer.interrupt(terminated)
        else:
            raise terminated

    @override
    def load_state(self, state: dict[str, t.Any]) -> None:
        """Take over a state, its bookmarks in the one form that they are compared in.

        Args:
            state: What an earlier run emitted last.

        Raises:
            InputError: If a bookmark is no instant.
        """
        super().load_state(state)
        for name, bookmark in self.state.get("bookmarks", {}).items():
            value = bookmark.get("replication_key_value")
            if value is None:
                continue
            if (instant := canonical_instant(value)) is None:
                msg = (
                    f"Stream '{name}': the state's replication_key_value is no date. "
                    "Correct it, or run without state to read everything again."
                )
                raise InputError(msg)
            bookmark["replication_key_value"] = instant

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError):
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
            catalog=json.load(catalog) if catalog else None,
            parse_env_config=config.parse_env,
        )
        if value == CliTestOptionValue.Schema.value:
            # The SDK selects every stream that the tap has before it writes the schemas.
            for name in [name for name, stream in tap.streams.items() if not stream.selected]:
                del tap.streams[name]
            tap.write_schemas()
        else:
            check_access(tap._selected_streams(), cls.logger)
        ctx.exit()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return Command.like(super().get_singer_command(), cls.logger)


def _is_selected(entry: CatalogEntry) -> bool:
    return entry.metadata.resolve_selection()[()]


def _whole(entry: CatalogEntry) -> CatalogEntry:
    """Return the entry as if nothing in it were deselected."""
    return replace(entry, metadata=MetadataMapping())
