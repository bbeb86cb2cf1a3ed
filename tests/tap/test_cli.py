"""The command line: options, exit codes and log lines."""

from __future__ import annotations

import json
from itertools import chain, permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    catalog_of,
    environment_for,
    invoke,
    only_error,
    settings_for,
    state_of,
)
from tests.support.messages import CONNECTION_TEST, connection_test_started
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulator import Simulator

SECRET = "s3cr3t-sentinel"  # noqa: S105 - not a real one
VALID: dict[str, Any] = {"api_secret": SECRET, "school_code": "readyeducation"}
INVALID = VALID | {"page_size": 1000}
NO_OBJECT = "config.json: the file does not exist or does not contain a JSON object"


@pytest.mark.parametrize(
    ("options", "files", "problem"),
    [
        ([], {}, "api_secret is required; school_code is required"),
        ([], {"config": INVALID}, "Invalid settings: page_size must be an integer from 1"),
        (["--test"], {"config": INVALID}, "Invalid settings: page_size must be an integer from 1"),
        (["--config", "missing.json"], {}, "missing.json: the file does not exist or does not con"),
        ([], {"config": [1]}, NO_OBJECT),
        ([], {"config": b""}, NO_OBJECT),
        (["--config", "ENV"], {}, "TAP_CAMPUSGROUPS_PAGE_SIZE must be an integer from 1 to 999."),
        ([], {"config": VALID, "state": state_of(events="soon")}, "replication_key_value is malfo"),
        ([], {"config": VALID, "catalog": [1]}, "catalog.json: the file must contain"),
    ],
)
def test_invalid_input_is_one_line_and_exit_code_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: list[str],
    files: dict[str, Any],
    problem: str,
) -> None:
    monkeypatch.setenv("TAP_CAMPUSGROUPS_PAGE_SIZE", "9x")
    done = invoke(tmp_path, *options, **files)
    assert (done.exit_code, done.stdout) == (1, "")
    assert problem in only_error(caplog)
    assert SECRET not in caplog.text + done.output


def test_discovery_about_and_version_without_settings_succeed(tmp_path: Path) -> None:
    discovery = run("--discover")
    assert len(json.loads(discovery.stdout)["streams"]) == 23
    assert errors(discovery) == []
    about = json.loads(invoke(tmp_path, "--about", "--format", "json").stdout)
    assert about["settings"]["properties"]["api_secret"]["secret"] is True
    assert "batch" not in about["capabilities"]
    assert "batch_config" not in about["settings"]["properties"]
    assert invoke(tmp_path, "--version").stdout.startswith("tap-campusgroups v")
    text = " ".join(invoke(tmp_path, "--help").stdout.split())
    assert "a small export of each selected stream to check access" in text
    assert "sync a single record" not in text


def test_wrong_secret_ends_run_after_one_request(simulator: Simulator) -> None:
    environment = environment_for(simulator, api_secret=SECRET, loglevel="DEBUG")
    done = run("--config", "ENV", **environment)
    assert done.returncode == 1
    (line,) = [line for line in errors(done) if " DEBUG " not in line]
    assert " ERROR " in line
    assert "api_secret" in line
    assert "school_code" in line
    assert len(simulator.requests) == 1
    assert SECRET not in done.stderr
    assert {json.loads(line)["type"] for line in done.stdout.splitlines()} == {"SCHEMA"}


@pytest.mark.parametrize(
    ("test", "config"), [("--test", "config.json"), ("--test", "ENV"), ("--test=schema", "ENV")]
)
def test_connection_test_with_options_in_any_order_is_about_the_selected_streams(
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    test: str,
    config: str,
) -> None:
    for name, text in environment_for(simulator).items():
        monkeypatch.setenv(name, text)
    if config != "ENV":
        config = str(tmp_path / config)
        (tmp_path / "config.json").write_text(json.dumps(settings_for(simulator)))
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps(catalog_of(["events", "rooms"])))
    for order in permutations([["--config", config], ["--catalog", str(catalog)], [test]]):
        caplog.clear()
        simulator.reset_log()
        done = invoke(tmp_path, *chain.from_iterable(order))
        assert done.exit_code == 0
        exports = sorted(str(one.stream) for one in simulator.requests if one.method == "POST")
        written = [json.loads(line) for line in done.stdout.splitlines()]
        if test == "--test":
            assert f"{connection_test_started(2, 23)}{catalog}" in caplog.messages
            assert f"{CONNECTION_TEST}2 of 2 streams readable" in caplog.text
            assert (exports, written) == (["events", "rooms"], [])
        else:
            kinds = [(message["type"], message["stream"]) for message in written]
            assert (exports, kinds) == ([], [("SCHEMA", "events"), ("SCHEMA", "rooms")])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAP_CAMPUSGROUPS_LOGLEVEL", "LOUD"),
        ("LOGLEVEL", "5x"),
        ("SINGER_SDK_LOG_CONFIG", "{}"),
        ("SINGER_SDK_LOG_CONFIG", "version: ["),
    ],
)
def test_invalid_logging_is_one_line(tmp_path: Path, variable: str, value: str) -> None:
    if variable == "SINGER_SDK_LOG_CONFIG":
        (tmp_path / "logging.yaml").write_text(value)
        value = str(tmp_path / "logging.yaml")
    done = run("--discover", **{variable: value})
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Logging cannot be set up: ")
    assert all(name in line for name in ("TAP_CAMPUSGROUPS_LOGLEVEL", "SINGER_SDK_LOG_CONFIG"))


METRICS = """
version: 1
disable_existing_loggers: false
handlers: {console: {class: logging.StreamHandler, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [console]}
"""


@pytest.mark.parametrize(
    ("log_config", "count"),
    [
        (METRICS, 0),
        (METRICS + "loggers: {singer_sdk.metrics: {propagate: true}}", 1),
        (METRICS + "loggers: {singer_sdk.metrics: {handlers: [console], level: INFO}}", 1),
    ],
    ids=["logger not named", "with propagation", "with a handler"],
)
def test_metrics_are_logged_only_if_log_config_names_their_logger(
    simulator: Simulator, tmp_path: Path, log_config: str, count: int
) -> None:
    (tmp_path / "logging.yaml").write_text(log_config)
    (tmp_path / "catalog.json").write_text(json.dumps(catalog_of(["events", "rooms"])))
    done = run(
        *("--config", "ENV", "--catalog", tmp_path / "catalog.json"),
        SINGER_SDK_LOG_CONFIG=str(tmp_path / "logging.yaml"),
        **environment_for(simulator),
    )
    assert done.returncode == 0
    assert "tap-campusgroups v" in done.stderr
    metrics = [line for line in done.stderr.splitlines() if '"metric":"record_count"' in line]
    assert len(metrics) == count * 2
    assert ("METRIC" in done.stderr) == bool(count)
