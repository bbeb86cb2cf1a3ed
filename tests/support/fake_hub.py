"""A fake Meltano Hub and a new Meltano project that uses it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import yaml

from tests.simulator.responses import json_response, message_response
from tests.simulator.server import Server
from tests.support import pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Simulator
    from tests.simulator.responses import CompleteResponse
    from tests.simulator.service import Request
    from tests.support.pipeline import Finished

DEFINITION: Final = pipeline.PROJECT / "docs" / "hub" / "tap-campusgroups.yml"
"""The definition for the Hub."""

LOCAL: Final = shlex.quote(str(pipeline.PROJECT))
"""This repository as a `pip_url`."""

API: Final = "/meltano/api/v1"

# Only for the Hub's pages: its API does not serve them.
_FOR_PAGES: Final = frozenset(
    {
        *("definition", "domain_url", "keywords", "maintenance_status", "next_steps"),
        *("prereq", "quality", "settings_preamble", "usage"),
    }
)


def read_definition() -> dict[str, Any]:
    """Return the definition for the Hub."""
    read: dict[str, Any] = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    return read


class Asked(NamedTuple):
    """A request to the Hub by a command of Meltano."""

    path: str
    status: int
    command: str | None


class FakeHub:
    """The Hub's API on a local port with one extractor.

    Attributes:
        url: Root of the API, for the setting `hub_api_root`.
        requests: The requests.
    """

    def __init__(self, definition: Mapping[str, Any], *, pip_url: str) -> None:
        """Start the server; `pip_url` replaces the definition's own, which tests cannot reach."""
        self.requests: list[Asked] = []
        self._answers: dict[str, CompleteResponse] = {}
        self._server = Server("127.0.0.1", 0, handle=self._answer, now=lambda: datetime.now(UTC))
        site = f"http://127.0.0.1:{self._server.port}"
        self.url = f"{site}{API}"
        name, variant = definition["name"], definition["variant"]
        page = f"extractors/{name}--{variant}"
        logo = f"{site}{definition['logo_url']}"
        self._answers[f"{API}/plugins/extractors/index"] = json_response(
            HTTPStatus.OK,
            {
                name: {
                    "logo_url": logo,
                    "default_variant": variant,
                    "variants": {variant: {"ref": f"{self.url}/plugins/{page}"}},
                }
            },
        )
        served = {key: value for key, value in definition.items() if key not in _FOR_PAGES}
        self._answers[f"{API}/plugins/{page}"] = json_response(
            HTTPStatus.OK,
            {**served, "docs": f"{site}/{page}", "logo_url": logo, "pip_url": pip_url},
        )

    def __enter__(self) -> Self:
        """Return the Hub."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._server.close()

    def _answer(self, request: Request) -> CompleteResponse:
        answer = self._answers.get(request.target) if request.method == "GET" else None
        if answer is None:
            answer = message_response(HTTPStatus.NOT_FOUND, "Not found.")
        command = request.headers.get("X-Meltano-Command")
        self.requests.append(Asked(request.target, answer.status, command))
        return answer


class Project:
    """A new Meltano project with target-jsonl.

    Attributes:
        folder: Folder of the project.
    """

    def __init__(self, folder: Path, hub: FakeHub, service: Simulator) -> None:
        """Create the project in an empty folder."""
        self.folder = folder
        self._workspace = pipeline.Workspace(folder, service=service, folder=folder)
        self._workspace.environment |= {
            # uv's cache depends on the configured package registries.
            **{name: text for name, text in os.environ.items() if name.startswith("UV_")},
            # `meltano install` in this repository has downloaded everything that the tap needs.
            "UV_CACHE_DIR": _package_cache(),
            "UV_OFFLINE": "1",
        }
        loader = {
            "name": "target-jsonl",
            "namespace": "target_jsonl",
            # The one that is installed in this repository.
            "executable": str(pipeline.plugin("target-jsonl")),
            "settings": [
                {"name": "destination_path", "value": "output"},
                {"name": "do_timestamp_file", "kind": "boolean", "value": False},
            ],
        }
        self.write(
            {
                "project_id": "a-new-project",
                "default_environment": "dev",
                "send_anonymous_usage_stats": False,
                "hub_api_root": hub.url,
                "environments": [{"name": "dev"}],
                "plugins": {"loaders": [loader]},
            }
        )
        (folder / "output").mkdir()

    def write(self, value: object, name: str = "meltano.yml") -> Path:
        """Write a YAML file into the project, and return its path."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        return path

    def extractor(self) -> dict[str, Any]:
        """Return the tap's entry in meltano.yml."""
        text = (self.folder / "meltano.yml").read_text(encoding="utf-8")
        (found,) = yaml.safe_load(text)["plugins"]["extractors"]
        return dict(found)

    def meltano(self, *arguments: str, **more: str) -> Finished:
        """Run a command of Meltano with additional environment variables."""
        return self._workspace.meltano(*arguments, variables=more)


def _package_cache() -> str:
    """Return the folder of uv's cache in the user's home, with which Meltano installs."""
    found = subprocess.run(
        [Path(sys.executable).with_name("uv"), "cache", "dir"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return found.stdout.strip()
