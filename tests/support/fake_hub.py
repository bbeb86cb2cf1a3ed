"""Meltano Hub in small, and a fresh Meltano project that asks it: also a program, which tells.

`python -m tests.support.fake_hub` adds the tap to a new project from the fake Hub, runs it against
the simulator, and prints every command, what it wrote, and what the Hub was asked.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from tests.simulator import Dataset, Simulator
from tests.simulator.responses import json_response, message_response
from tests.simulator.server import Server
from tests.support import pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulator.responses import CompleteResponse
    from tests.simulator.service import Request
    from tests.support.pipeline import Finished

DEFINITION: Final = pipeline.PROJECT / "docs" / "hub" / "tap-campusgroups.yml"
"""The definition that is made for the Hub."""

LOCAL: Final = shlex.quote(str(pipeline.PROJECT))
"""Where the tap is installed from here, as a `pip_url`: this repository."""

API: Final = "/meltano/api/v1"

# The Hub's pages show these; its API does not serve them.
_FOR_PAGES: Final = frozenset(
    {
        "definition",
        "domain_url",
        "keywords",
        "maintenance_status",
        "next_steps",
        "prereq",
        "quality",
        "settings_preamble",
        "usage",
    }
)


def read_definition() -> dict[str, Any]:
    """Read the definition that is made for the Hub."""
    read: dict[str, Any] = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    return read


@dataclass(frozen=True)
class Asked:
    """A request to the Hub.

    Attributes:
        path: With the API's root.
        status: Of the answer.
        command: The command of Meltano that asked.
    """

    path: str
    status: int
    command: str | None


class FakeHub:
    """The Hub's API on a local port, with one extractor, until `close()`.

    Attributes:
        url: The API's root, for the setting `hub_api_root`.
        requests: What was asked, in order.
    """

    def __init__(self, definition: Mapping[str, Any], *, pip_url: str) -> None:
        """Start to serve.

        Args:
            definition: The extractor's definition, as the Hub keeps it.
            pip_url: What is served in place of the definition's own, which is out of reach.
        """
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
        """Return the Hub, which serves already."""
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
    """A new Meltano project with target-jsonl in it.

    Attributes:
        folder: Of the project.
    """

    def __init__(self, folder: Path, hub: FakeHub, service: Simulator) -> None:
        """Make the project.

        Args:
            folder: An empty one.
            hub: Where Meltano looks for plugins.
            service: What the tap reads.
        """
        self.folder = folder
        self._workspace = pipeline.Workspace(folder, service=service, folder=folder)
        self._workspace.environment |= {
            # The cache is sorted by what these say of package registries.
            **{name: text for name, text in os.environ.items() if name.startswith("UV_")},
            # What `meltano install` in this repository downloaded is enough to install the tap.
            "UV_CACHE_DIR": _package_cache(),
            "UV_OFFLINE": "1",
        }
        loader = {
            "name": "target-jsonl",
            "namespace": "target_jsonl",
            # The one of this repository, as it is.
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
        """Return what meltano.yml has of the tap."""
        text = (self.folder / "meltano.yml").read_text(encoding="utf-8")
        (found,) = yaml.safe_load(text)["plugins"]["extractors"]
        return dict(found)

    def meltano(self, *arguments: str, **more: str) -> Finished:
        """Run a command of Meltano.

        Args:
            *arguments: The command.
            **more: Environment variables, more than the service's.
        """
        return self._workspace.meltano(*arguments, variables=more)


def _package_cache() -> str:
    """Find the cache of uv, with which Meltano installs: in the user's home, not in the tests'."""
    found = subprocess.run(
        [Path(sys.executable).with_name("uv"), "cache", "dir"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return found.stdout.strip()


def transcript(folder: Path, commands: Sequence[str]) -> int:
    """Run commands of Meltano in a new project, and print all that is said.

    Args:
        folder: An empty one.
        commands: After `meltano`, as one types them.

    Returns:
        The exit code of the first command that fails, or 0.
    """
    dataset = Dataset(5, newest=datetime.now(UTC))
    with FakeHub(read_definition(), pip_url=LOCAL) as hub, Simulator(dataset) as service:
        project = Project(folder, hub, service)
        _say(f"The Hub's API is at {hub.url}, the service at {service.url}.")
        for command in commands:
            _say(f"\n$ meltano {command}")
            before = len(hub.requests)
            finished = project.meltano(
                *shlex.split(command), TAP_CAMPUSGROUPS__SELECT='["events.*", "rooms.*"]'
            )
            _say(finished.output.rstrip())
            for asked in hub.requests[before:]:
                _say(f"# the Hub was asked: GET {asked.path} -> {asked.status} ({asked.command})")
            if finished.code:
                return finished.code
    for path in sorted((folder / "output").iterdir()):
        rows = len(path.read_bytes().splitlines())
        _say(f"# arrived: {path.name}, {rows} rows")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Tell what a newcomer's first commands do."""
    with tempfile.TemporaryDirectory() as folder:
        return transcript(
            Path(folder),
            [
                "add tap-campusgroups",
                "config list tap-campusgroups",
                "config test tap-campusgroups",
                "run tap-campusgroups target-jsonl",
            ],
        )


if __name__ == "__main__":
    sys.exit(main())
