"""The command line as a process: options, exit codes and log lines."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Simulator, Status
from tests.support.harness import catalog_of, state_of, structured_logging
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-sentinel"  # noqa: S105 - not a real one
VALID: dict[str, Any] = {"api_secret": SECRET, "school_code": "readyeducation"}


FILES = {
    "valid.json": json.dumps(VALID),
    "invalid.json": json.dumps(VALID | {"page_size": 1000}),
    "list.json": "[1]",
    "empty.json": "",
    "state.json": json.dumps(state_of(events="soon")),
}


@pytest.mark.parametrize(
    ("arguments", "environment", "problem"),
    [
        (["--config", "invalid.json"], {}, "Invalid settings: page_size must be an integer from 1"),
        (["--config", "invalid.json", "--test"], {}, "Invalid settings: page_size must be an int"),
        (["--config", "missing.json"], {}, "missing.json: the file does not exist or does not con"),
        (["--config", "list.json"], {}, "list.json: the file does not exist or does not contain"),
        (["--config", "valid.json", "--state", "empty.json"], {}, "empty.json: the file must"),
        (["--config", "valid.json", "--state", "state.json"], {}, "replication_key_value is not"),
        (["--config", "valid.json", "--catalog", "list.json"], {}, "list.json: the file must"),
        (
            ["--config", "ENV"],
            {"TAP_CAMPUSGROUPS_PAGE_SIZE": "9x"},
            "_PAGE_SIZE must be an integer",
        ),
        ([], {}, "api_secret is required; school_code is required"),
    ],
    ids=repr,
)
def test_invalid_input_is_one_line_and_exit_code_1(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], problem: str
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    done = run(
        *(
            tmp_path / argument if argument.endswith(".json") else argument
            for argument in arguments
        ),
        **environment,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = errors(done)
    assert problem in line
    assert SECRET not in done.stderr


def test_discovery_about_and_version_without_settings_succeed() -> None:
    discovery = run("--discover")
    assert len(json.loads(discovery.stdout)["streams"]) == 23
    assert errors(discovery) == []
    about = json.loads(run("--about", "--format", "json").stdout)
    assert about["settings"]["properties"]["api_secret"]["secret"] is True
    assert run("--version").stdout.startswith("tap-campusgroups v")


@pytest.fixture
def config_json(config: dict[str, Any], tmp_path: Path) -> Path:
    """A file with settings for the simulator."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path


def test_wrong_secret_ends_run_after_one_request(
    simulator: Simulator, config: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(config | {"api_secret": SECRET}))
    done = run("--config", path, TAP_CAMPUSGROUPS_LOGLEVEL="DEBUG")
    assert done.returncode == 1
    (line,) = [line for line in errors(done) if " DEBUG " not in line]
    assert " ERROR " in line
    assert "api_secret" in line
    assert "school_code" in line
    assert len(simulator.requests) == 1
    assert SECRET not in done.stderr
    assert {json.loads(line)["type"] for line in done.stdout.splitlines()} == {"SCHEMA"}


def test_failed_stream_is_one_error_and_exit_code_1(
    simulator: Simulator, config_json: Path
) -> None:
    simulator.inject(Status(404).on("badges", times=None))
    done = run("--config", config_json)
    assert done.returncode == 1
    (line,) = [line for line in errors(done) if " ERROR " in line]
    assert "Stream 'badges': the export of " in line
    assert "Traceback" not in done.stderr


def test_connection_test_without_catalog_exports_every_stream(
    simulator: Simulator, config_json: Path
) -> None:
    done = run("--config", config_json, "--test")
    assert done.returncode == 0
    assert " ERROR " not in done.stderr
    assert {request.stream for request in simulator.requests} == set(simulator.dataset.streams)


@pytest.fixture
def catalog_json(tmp_path: Path) -> Path:
    """A catalog with two selected streams."""
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog_of(["events", "rooms"])))
    return path


ORDERS = list(permutations(["--config", "--catalog", "--test"]))


def options_in(order: tuple[str, ...], test: str, **files: Path) -> list[str | Path]:
    """Return the options in an order, with `test` in place of `--test`."""
    options: list[str | Path] = []
    for option in order:
        options += [test] if option == "--test" else [option, files[option.removeprefix("--")]]
    return options


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_connection_test_with_catalog_exports_selected_streams_in_any_order(
    simulator: Simulator, config_json: Path, catalog_json: Path, order: tuple[str, ...]
) -> None:
    done = run(*options_in(order, "--test", config=config_json, catalog=catalog_json))
    assert (done.returncode, done.stdout) == (0, "")
    assert "Connection test: 2 of 2 streams readable" in done.stderr
    exports = [request.stream for request in simulator.requests if request.method == "POST"]
    assert sorted(map(str, exports)) == ["events", "rooms"]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_schema_test_with_catalog_writes_selected_schemas_in_any_order(
    simulator: Simulator, config_json: Path, catalog_json: Path, order: tuple[str, ...]
) -> None:
    done = run(*options_in(order, "--test=schema", config=config_json, catalog=catalog_json))
    assert done.returncode == 0
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(message["type"], message["stream"]) for message in messages] == [
        ("SCHEMA", "events"),
        ("SCHEMA", "rooms"),
    ]
    assert simulator.requests == []


def test_connection_test_with_settings_from_environment_last(
    simulator: Simulator, config: dict[str, Any], catalog_json: Path
) -> None:
    environment = {f"TAP_CAMPUSGROUPS_{name.upper()}": text for name, text in config.items()}
    done = run("--test", "--catalog", catalog_json, "--config", "ENV", **environment)
    assert done.returncode == 0
    exports = [request.stream for request in simulator.requests if request.method == "POST"]
    assert sorted(map(str, exports)) == ["events", "rooms"]


@pytest.mark.parametrize("option", ["--catalog", "--state"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff"], ids=repr)
@pytest.mark.parametrize("is_test_first", [True, False])
def test_connection_test_with_invalid_file_sends_no_request(
    simulator: Simulator,
    config_json: Path,
    tmp_path: Path,
    option: str,
    content: bytes,
    *,
    is_test_first: bool,
) -> None:
    path = tmp_path / "invalid.json"
    path.write_bytes(content)
    file: list[str | Path] = [option, path]
    done = run(
        "--config", config_json, *(["--test", *file] if is_test_first else [*file, "--test"])
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = errors(done)
    assert f"{option} {path}: the file must contain one JSON object " in line
    assert simulator.requests == []


def test_log_config_with_structured_formatter_is_used(config_json: Path, tmp_path: Path) -> None:
    done = run("--config", config_json, SINGER_SDK_LOG_CONFIG=structured_logging(tmp_path))
    assert done.returncode == 0
    messages = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert any("Export submitted: stream=events window=" in message for message in messages)


METRICS = """
version: 1
disable_existing_loggers: false
handlers: {console: {class: logging.StreamHandler, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [console]}
"""


@pytest.mark.parametrize(
    ("log_config", "count"),
    [
        (None, 0),
        (METRICS, 0),
        (METRICS + "loggers: {singer_sdk.metrics: {propagate: true}}", 1),
        (METRICS + "loggers: {singer_sdk.metrics: {handlers: [console], level: INFO}}", 1),
    ],
    ids=["no log config", "logger not named", "with propagation", "with a handler"],
)
def test_metrics_are_logged_only_if_log_config_names_their_logger(
    config_json: Path, catalog_json: Path, tmp_path: Path, log_config: str | None, count: int
) -> None:
    environment = {}
    if log_config is not None:
        path = tmp_path / "logging.yaml"
        path.write_text(log_config)
        environment["SINGER_SDK_LOG_CONFIG"] = str(path)
    done = run("--config", config_json, "--catalog", catalog_json, **environment)
    assert done.returncode == 0
    assert "tap-campusgroups v" in done.stderr
    metrics = [line for line in done.stderr.splitlines() if '"metric":"record_count"' in line]
    assert len(metrics) == count * 2
    assert ("METRIC" in done.stderr) == bool(count)
