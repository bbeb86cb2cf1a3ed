"""Runs of the tap in the test's process, and their settings, catalogs, states and output."""

from __future__ import annotations

import io
import json
import socket
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from tap_campusgroups import tap
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from click.testing import Result
    from singer_sdk.singerlib.encoding import GenericSingerWriter

    from tests.simulator import Simulator

NEWEST = datetime(2025, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
"""`updatedOn` of the newest row of the tests' simulators."""

STARTED = NEWEST + timedelta(hours=1)
"""Start of the tests' runs, as the tap sees it."""

WAIT_LIMIT = 60.0
"""Seconds after which a test that waits for an event fails instead of hanging."""

ROW_BY_ROW = {"flattening_enabled": True, "flattening_max_depth": 1}
"""Settings with which the SDK writes records one by one instead of the fast path in pages."""

each_path = pytest.mark.parametrize("more", [{}, ROW_BY_ROW], ids=["whole pages", "row by row"])
"""Runs a test with whole pages and with single records."""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail after `WAIT_LIMIT`."""
    # `monotonic` by name: tests replace `time.monotonic`.
    deadline = monotonic() + WAIT_LIMIT
    while not condition():
        assert monotonic() < deadline
        Event().wait(0.001)


def time_out_when_held(simulator: Simulator, patch: pytest.MonkeyPatch) -> list[float]:
    """Replace the tap's request timeout: a read times out when the simulator holds its request.

    On a busy machine any request can take longer than a timeout short enough for a test.

    Returns:
        The timeouts of the sockets of the held requests, in seconds; filled as reads fail.
    """
    timeouts: list[float] = []
    readinto = socket.SocketIO.readinto

    def read(raw: Any, buffer: Any) -> int | None:
        connection = raw._sock  # noqa: SLF001 - no public attribute has it
        timeout = connection.gettimeout()
        if timeout is None:  # the simulator's side
            return readinto(raw, buffer)
        deadline = monotonic() + WAIT_LIMIT
        connection.settimeout(0.01)
        try:
            while True:
                try:
                    return readinto(raw, buffer)
                except TimeoutError:
                    if simulator.holds(connection.getsockname()):
                        timeouts.append(timeout)
                        raise
                    assert monotonic() < deadline
                    raw._timeout_occurred = False  # noqa: SLF001 - otherwise it refuses to read again
        finally:
            connection.settimeout(timeout)

    patch.setattr(socket.SocketIO, "readinto", read)
    return timeouts


def settings_for(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return settings for a simulator."""
    return {
        "api_secret": simulator.api_secret,
        "school_code": simulator.school_code,
        "api_url": simulator.url,
        **more,
    }


def environment_for(simulator: Simulator, **more: Any) -> dict[str, str]:
    """Return settings for a simulator as environment variables."""
    settings = settings_for(simulator, **more)
    return {f"TAP_CAMPUSGROUPS_{name.upper()}": str(value) for name, value in settings.items()}


def canonical(timestamp: datetime) -> str:
    """Return a timestamp in UTC in the form that the tap emits."""
    return f"{timestamp:%Y-%m-%dT%H:%M:%S.%f}Z"


def state_of(**bookmarks: str) -> dict[str, Any]:
    """Return a state with bookmarks."""
    return {
        "bookmarks": {
            name: {"replication_key": "updatedOn", "replication_key_value": value}
            for name, value in bookmarks.items()
        }
    }


_LOGGING = """
version: 1
formatters: {json: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {all: {class: logging.StreamHandler, formatter: json, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [all]}
"""


def structured_logging(folder: Path) -> str:
    """Write a file for `SINGER_SDK_LOG_CONFIG` with one JSON object per line; return its path."""
    path = folder / "logging.yaml"
    path.write_text(_LOGGING)
    return str(path)


@dataclass
class Output:
    """Output of a run.

    Attributes:
        messages: The Singer messages.
        error: The error that ended the run.
        text: Everything written to stdout.
        records: The records by stream.
    """

    messages: list[dict[str, Any]]
    error: Exception | None = None
    text: str = ""
    records: dict[str, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        """Group the records by stream."""
        self.records = {}
        for message in self.of_type("RECORD"):
            self.records.setdefault(message["stream"], []).append(message["record"])

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a type."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The values of the STATE messages."""
        return [message["value"] for message in self.of_type("STATE")]

    @property
    def bookmarks(self) -> dict[str, str | None]:
        """The bookmarks of the last state."""
        return {
            name: bookmark.get("replication_key_value")
            for name, bookmark in self.states[-1]["bookmarks"].items()
        }


@cache
def _discovered_catalog() -> dict[str, Any]:
    catalog: dict[str, Any] = TapCampusGroups(validate_config=False).catalog_dict
    return catalog


def catalog_of(streams: Iterable[str]) -> dict[str, Any]:
    """Return the discovered catalog in which only some streams are selected."""
    chosen = set(streams)
    catalog = deepcopy(_discovered_catalog())
    for stream in catalog["streams"]:
        stream_metadata(stream)["selected"] = stream["tap_stream_id"] in chosen
    return catalog


def stream_metadata(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a catalog entry that is about the whole stream."""
    (root,) = (one for one in entry["metadata"] if not one["breadcrumb"])
    metadata: dict[str, Any] = root["metadata"]
    return metadata


def only(*names: str) -> dict[str, Any]:
    """Return a catalog that has only some streams, with which a tap starts faster."""
    entries = _discovered_catalog()["streams"]
    return {"streams": [deepcopy(one) for one in entries if one["tap_stream_id"] in names]}


def read_in_full(catalog: dict[str, Any], *names: str) -> dict[str, Any]:
    """Choose full reads for some streams of a catalog, with the standard metadata; return it."""
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] in names:
            stream_metadata(entry)["replication-method"] = "FULL_TABLE"
    return catalog


@contextmanager
def limited_to(streams: Collection[str]) -> Iterator[None]:
    """Limit the tap to some streams, with which it starts faster; without any name, not at all."""
    definitions = {
        version: [one for one in all_streams if not streams or one in streams]
        for version, all_streams in STREAMS.items()
    }
    with patch.object(tap, "STREAMS", definitions):
        yield


def sync(
    config: Mapping[str, Any],
    *streams: str,
    state: Mapping[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    started: datetime | None = STARTED,
    writer: GenericSingerWriter[Any, Any] | None = None,
) -> Output:
    """Run the tap in this process and return its output, also if it ends with an error.

    Args:
        config: The settings.
        *streams: The streams that the tap has; all of them without any name.
        state: The state of an earlier run.
        catalog: A catalog instead of `streams`.
        started: Start of the run as the tap sees it; `None` for now.
        writer: Message writer to use instead of the tap's.
    """
    written = io.BytesIO()
    error: Exception | None = None
    stdout = io.TextIOWrapper(written, encoding="utf-8")
    milliseconds = int((started or datetime.now(UTC)).timestamp() * 1000)
    with (
        redirect_stdout(stdout),
        patch.object(TapCampusGroups, "initialized_at", milliseconds),
        limited_to(streams),
    ):
        try:
            TapCampusGroups(
                config=dict(config),
                state=json.loads(json.dumps(state or {})),
                catalog=catalog,
                message_writer=writer,
            ).sync_all()
        except Exception as caught:  # noqa: BLE001 - for the test
            error = caught
        stdout.flush()
    lines = written.getvalue().splitlines()  # bytes, because text would also be split at U+2028
    return Output([json.loads(line) for line in lines], error, written.getvalue().decode())


def invoke(folder: Path, *options: str, **files: Any) -> Result:
    """Run the command line in this process.

    Args:
        folder: Folder for the files.
        *options: Options, after those that name files.
        **files: Content of the files of `--config`, `--catalog` and `--state`: a JSON value, or
            bytes.
    """
    arguments: list[str] = []
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        arguments += [f"--{name}", str(path)]
    result = CliRunner().invoke(TapCampusGroups.get_singer_command(), [*arguments, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def only_error(caplog: pytest.LogCaptureFixture) -> str:
    """Return the only log line with an error."""
    (line,) = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(line.splitlines()) == 1
    return line
