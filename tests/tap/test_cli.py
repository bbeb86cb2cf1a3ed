"""The command line as a person or Meltano meets it: exit codes, and one line for an error."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import FailQuery, Simulator
from tests.support.harness import catalog_of, state_of, structured_logging
from tests.support.processes import errors, run

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-sentinel"  # noqa: S105 - not a real one
GOOD: dict[str, Any] = {"api_secret": SECRET, "school_code": "readyeducation"}


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--config", "bad.json"], {}, "Bad settings: 1000 is greater than the maximum of 999"),
        (["--config", "bad.json", "--test"], {}, "Bad settings: 1000 is greater"),
        (["--config", "missing.json"], {}, "missing.json: no file, or no JSON object in it"),
        (["--config", "list.json"], {}, "list.json: no file, or no JSON object in it"),
        (["--config", "good.json", "--state", "empty.json"], {}, "--state"),
        (["--config", "good.json", "--state", "odd-state.json"], {}, "replication_key_value"),
        (["--config", "good.json", "--catalog", "list.json"], {}, "--catalog"),
        (["--config", "ENV"], {"TAP_CAMPUSGROUPS_PAGE_SIZE": "9x"}, "_PAGE_SIZE must be a whole"),
        ([], {}, "'api_secret' is a required property"),
    ],
    ids=repr,
)
def test_the_command_line_says_it_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "good.json": json.dumps(GOOD),
        "bad.json": json.dumps(GOOD | {"page_size": 1000}),
        "list.json": "[1]",
        "empty.json": "",
        "odd-state.json": json.dumps(state_of(events="soon")),
    }.items():
        (tmp_path / name).write_text(content)
    done = run(*arguments, **environment)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = errors(done)
    assert words in line
    assert SECRET not in done.stderr


def test_discovery_and_about_need_no_settings() -> None:
    assert len(json.loads(run("--discover").stdout)["streams"]) == 23
    about = json.loads(run("--about", "--format", "json").stdout)
    assert about["settings"]["properties"]["api_secret"]["secret"] is True
    assert run("--version").stdout.startswith("tap-campusgroups v")


@pytest.fixture
def good_json(config: dict[str, Any], tmp_path: Path) -> Path:
    """A file with settings for the service."""
    path = tmp_path / "good.json"
    path.write_text(json.dumps(config))
    return path


def test_a_wrong_secret(simulator: Simulator, config: dict[str, Any], tmp_path: Path) -> None:
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


def test_a_stream_that_fails(simulator: Simulator, good_json: Path) -> None:
    simulator.inject(FailQuery().on("badges", times=None))
    done = run("--config", good_json)
    assert done.returncode == 1
    (line,) = [line for line in errors(done) if " ERROR " in line]
    assert "Stream 'badges': the export of updatedOn " in line
    assert "Traceback" not in done.stderr


def test_a_connection_test(simulator: Simulator, good_json: Path) -> None:
    done = run("--config", good_json, "--test")
    assert done.returncode == 0
    assert " ERROR " not in done.stderr
    assert {request.stream for request in simulator.requests} == set(simulator.dataset.streams)


@pytest.fixture
def catalog_json(tmp_path: Path) -> Path:
    """A catalog in which two streams are selected."""
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog_of(["events", "rooms"])))
    return path


ORDERS = list(permutations(["--config", "--catalog", "--test"]))


def options_in(order: tuple[str, ...], test: str, **files: Path) -> list[str | Path]:
    """Write the options in an order, `--test` as given."""
    options: list[str | Path] = []
    for option in order:
        options += [test] if option == "--test" else [option, files[option.removeprefix("--")]]
    return options


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_connection_test_with_catalog_exports_selected_streams_in_any_order(
    simulator: Simulator, good_json: Path, catalog_json: Path, order: tuple[str, ...]
) -> None:
    done = run(*options_in(order, "--test", config=good_json, catalog=catalog_json))
    assert (done.returncode, done.stdout) == (0, "")
    assert "the secret may read 2 of 2 streams" in done.stderr
    exports = [request.stream for request in simulator.requests if request.method == "POST"]
    assert sorted(map(str, exports)) == ["events", "rooms"]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_schema_test_with_catalog_writes_selected_schemas_in_any_order(
    simulator: Simulator, good_json: Path, catalog_json: Path, order: tuple[str, ...]
) -> None:
    done = run(*options_in(order, "--test=schema", config=good_json, catalog=catalog_json))
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
def test_connection_test_with_invalid_file_sends_no_request(  # noqa: PLR0913 - all are fixtures
    simulator: Simulator,
    good_json: Path,
    tmp_path: Path,
    option: str,
    content: bytes,
    *,
    is_test_first: bool,
) -> None:
    path = tmp_path / "invalid.json"
    path.write_bytes(content)
    file: list[str | Path] = [option, path]
    done = run("--config", good_json, *(["--test", *file] if is_test_first else [*file, "--test"]))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = errors(done)
    assert f"{option} {path}: no JSON object in the file " in line
    assert simulator.requests == []


def test_structured_logging(good_json: Path, tmp_path: Path) -> None:
    done = run("--config", good_json, SINGER_SDK_LOG_CONFIG=structured_logging(tmp_path))
    assert done.returncode == 0
    messages = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert any("Stream 'events': exporting updatedOn " in message for message in messages)
