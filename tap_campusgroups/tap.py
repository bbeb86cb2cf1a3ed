"""The tap: settings, discovery, selection, state and the connection test."""

from __future__ import annotations

import logging
import os
import typing as t
from collections.abc import Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain

from singer_sdk import Tap, mapper
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.mapper import CustomStreamMap
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import Catalog, CatalogEntry
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_campusgroups import config
from tap_campusgroups.cli import Command
from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.connection_test import check_access
from tap_campusgroups.exceptions import InputError, RunAborted, SettingsError
from tap_campusgroups.input_files import check_catalog, check_state, origin
from tap_campusgroups.records.json_codec import STREAM_MAP_JSON
from tap_campusgroups.records.text_values import text_schema
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.run_report import reported
from tap_campusgroups.shutdown import SHUTDOWN
from tap_campusgroups.stream_map_checks import set_up_mapper
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.sync import SyncRun

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_campusgroups.exceptions import CampusGroupsError

# An allowlist, because each capability adds settings or messages. Left out: BATCH, which bypasses
# stream maps and so masking; ACTIVATE_VERSION, whose setting makes the SDK emit the message before
# a read, while the tap emits it after a complete one; and START_DATE (SDK 0.55), because the tap
# has its own setting. By value, because SDK versions define the members in different classes.
_CAPABILITIES: t.Final = {
    *("about", "catalog", "discover", "state"),
    *("schema-flattening", "stream-maps", "structured-logging"),
}


class TapCampusGroups(Tap):
    """Singer tap for the CampusGroups Data Export API."""

    name = "tap-campusgroups"
    # A copy, because the SDK adds its own settings.
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = deepcopy(config.CONFIG)
    message_writer_class = PageWriter
    _run: SyncRun | None = None

    capabilities: t.ClassVar[list[CapabilitiesEnum]] = [
        capability for capability in Tap.capabilities if capability.value in _CAPABILITIES
    ]

    @override
    def __init__(
        self,
        *,
        catalog: t.Any = None,
        validate_config: bool = True,
        setup_mapper: bool = True,
        **kwargs: t.Any,
    ) -> None:
        # Lines that quote filters, and each row that one drops.
        logging.getLogger(mapper.__name__).setLevel(logging.WARNING)
        # Warnings that quote a response header that cannot be parsed.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
        if isinstance(catalog, Mapping) and not isinstance(catalog, Catalog):
            catalog = check_catalog(catalog)
        try:
            # The mapper is set up below, after the settings are validated.
            super().__init__(
                catalog=catalog, validate_config=validate_config, setup_mapper=False, **kwargs
            )
        except ConfigValidationError:
            # The SDK's messages quote the invalid value, which can be the secret.
            problems = config.schema_problems(self.config, self.config_jsonschema)
            raise config.invalid_settings(problems) from None
        except ValueError:
            if found := list(config.environment_problems(self.config_jsonschema)):
                raise config.invalid_settings(found) from None
            raise
        if validate_config:
            self.settings  # noqa: B018 - raises if a setting is invalid
        if setup_mapper:
            self.setup_mapper()

    @override
    def discover_streams(self) -> list[CampusGroupsStream]:
        names = STREAMS[config.api_version(self.config)]
        return [CampusGroupsStream(self, name) for name in names]

    @cached_property
    def settings(self) -> config.Settings:
        """The validated settings; raises `SettingsError` if they are invalid."""
        return config.Settings.from_config(self.config, self.started)

    @property
    def started(self) -> datetime:
        """When the tap was created, aware, UTC: the upper bound of all exports."""
        return datetime.fromtimestamp(self.initialized_at / 1000, tz=UTC)

    @contextmanager
    def run(self, streams: Sequence[CampusGroupsStream]) -> Iterator[SyncRun]:
        """Run several streams; inside, return the same run for any of them.

        At the end, the workers have ended, and what ended the run or failed in streams is raised.
        """
        if self._run is not None:
            yield self._run
            return
        error: CampusGroupsError | None = None
        self._run = run = SyncRun(streams, self.settings, self.started, self.logger)
        try:
            yield run
            error = run.failure()
        except RunAborted as aborted:
            error = aborted.reason
        finally:
            self._run = None
            run.close()
            run.log_summary()
        if error is not None:
            raise error

    @override  # type: ignore[misc] # final in the SDK, but the only frame around a whole run
    def sync_all(self) -> None:
        with reported(self.config.get("run_report"), self.logger):
            self._sync_all()

    def _sync_all(self) -> None:
        SHUTDOWN.check()
        streams = [stream for stream in self._checked_selection() if not stream.is_removed]
        with self.run(streams):
            try:
                super().sync_all()
            finally:
                # Some targets discard a state that records follow.
                if getattr(self.message_writer, "is_state_due", False):
                    self.write_message(StateMessage(value=self.state))
        SHUTDOWN.check()

    @override
    def setup_mapper(self) -> None:
        self._mapper = set_up_mapper(self.config, self.catalog, self.streams, self.logger)
        value_format = config.value_format(self.config)
        for one in chain.from_iterable(self._mapper.stream_maps.values()):
            one.transformed_schema = text_schema(one.transformed_schema, value_format)
            if isinstance(one, CustomStreamMap):
                one.expr_evaluator.functions["json"] = STREAM_MAP_JSON

    def _selected_streams(self) -> list[CampusGroupsStream]:
        streams = t.cast("dict[str, CampusGroupsStream]", self.streams)
        return [stream for stream in streams.values() if stream.selected]

    def _checked_selection(self) -> list[CampusGroupsStream]:
        """Return the selected streams, if there are any and the catalog selects no other ones."""
        file = origin("catalog")
        entries = self.input_catalog.streams if self.input_catalog else []
        selected = {e.tap_stream_id: e.stream for e in entries if _is_selected(e)}
        if renamed := [name for name, given in selected.items() if given not in {None, name}]:
            message = (
                f"{file}: stream differs from tap_stream_id for {config.quoted_names(renamed)}. "
                "To rename a stream, use stream_maps with __alias__."
            )
        elif unknown := selected.keys() - self.streams.keys():
            is_in_1_1 = unknown <= set(STREAMS[config.ApiVersion.V1_1])
            fix = 'Set api_version to "1.1"' if is_in_1_1 else "Create a new one with --discover"
            message = (
                f"{file} selects streams that do not exist in api_version "
                f"{config.api_version(self.config)}: {config.quoted_names(unknown)}. {fix}, or "
                "deselect them."
            )
        elif streams := self._selected_streams():
            return streams
        else:
            message = (
                f"No stream is selected: {file} selects 0 of {len(entries)}. Select at least one, "
                'for example with select: ["events.*"] in meltano.yml.'
            )
        raise InputError(message)

    @override
    def _setup_signal_handlers(self) -> None:
        # The command line has its own. The SDK's would also replace those of a program that uses
        # the tap; tests/shutdown/test_shutdown.py checks that it still calls this method.
        return

    @override
    def load_state(self, state: dict[str, t.Any]) -> None:
        selected = {stream.name for stream in self._selected_streams()} if state else set()
        if bookmarks := check_state(state, selected):
            self.state["bookmarks"] = bookmarks

    @override
    def _reset_state_progress_markers(self) -> None:
        # `check_state` removes them; the SDK's method fails on what deselected streams may hold.
        # tests/state/test_state_files.py checks that the SDK still calls this method.
        return

    @classmethod
    @override
    def invoke(cls, **options: t.Any) -> None:
        # Around the constructor, so that the report has its errors, too.
        given = options.get("config")
        path = given and given.config.get("run_report")
        if given and given.parse_env:
            path = os.environ.get("TAP_CAMPUSGROUPS_RUN_REPORT") or path
        is_sync = not options.get("about") and isinstance(path, str)
        with reported(path if is_sync else None, cls.logger):
            super().invoke(**options)

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError, RecursionError):
            msg = (
                f"--config {' '.join(value)}: the file does not exist or does not contain a JSON "
                "object. Correct the path or the file."
            )
            raise SettingsError(msg) from None

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        # The SDK's own test ignores the catalog and exports every stream as a whole. `config` and
        # `catalog` are eager options, so both are available wherever they stand.
        if value == CliTestOptionValue.Disabled.value:
            return
        given, catalog = ctx.params["config"], ctx.params["catalog"]
        tap = cls(
            config=given.config,
            catalog=catalog and catalog.value,
            parse_env_config=given.parse_env,
        )
        streams = tap._checked_selection()
        if value == CliTestOptionValue.Schema.value:
            # `write_schemas` would select all streams of the tap.
            for name in set(tap.streams) - {stream.name for stream in streams}:
                del tap.streams[name]
            tap.write_schemas()
        else:
            if catalog:
                cls.logger.info(
                    "Connection test started: streams=%d of=%d selection=%s",
                    *(len(streams), len(tap.streams), catalog.name),
                )
            check_access(tap, streams)
        ctx.exit()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return Command.wrap(super().get_singer_command(), cls.logger)


def _is_selected(entry: CatalogEntry) -> bool:
    return entry.metadata.resolve_selection()[()]


# The SDK adds its own settings only when it needs them; errors need all of them.
TapCampusGroups.append_builtin_config(TapCampusGroups.config_jsonschema)
# `stream_map_checks` validates stream maps: their schema in SDK 0.54 is itself invalid.
_SETTINGS: t.Final = TapCampusGroups.config_jsonschema["properties"]
_SETTINGS["stream_maps"] = {
    "type": ["object", "null"],
    **{key: _SETTINGS["stream_maps"][key] for key in ("title", "description")},
}
