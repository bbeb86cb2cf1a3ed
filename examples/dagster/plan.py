"""The plan: which schools are read, by how many workers, and what their streams are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The folder of `meltano.yml`."""

FILE_VARIABLE: Final = "CAMPUSGROUPS_SCHOOLS"
"""Environment variable with the path of a plan other than `examples/dagster/schools.yml`."""


@dataclass(frozen=True)
class School:
    """A school.

    Attributes:
        code: The tap's `school_code`.
        api_secret_variable: Name of the environment variable that holds the API secret.
        schema: PostgreSQL schema of its tables; also the name of its concurrency pool.
        max_concurrent_exports: Maximum number of exports that may be queued or running.
        models_schema: PostgreSQL schema of its dbt models; without one, it has no models.
        api_url: Base URL of its API, if not the default.
    """

    code: str
    api_secret_variable: str
    schema: str
    max_concurrent_exports: int = 4
    models_schema: str | None = None
    api_url: str | None = None


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        groups: Jobs of `meltano.yml` to run for each school.
        workers: Number of concurrent `meltano run` processes.
        retries: How often a failed group is retried, if a retry can help.
        retry_delay_seconds: Delay before a retry.
        max_age_hours: Maximum age of the newest row of a stream, by stream.
    """

    schools: tuple[School, ...]
    groups: tuple[str, ...]
    workers: int
    retries: int = 1
    retry_delay_seconds: float = 300
    max_age_hours: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the plan.

        Raises:
            ValueError: If a number is too small, or two schools share a code or a schema.
        """
        numbers = {"workers": self.workers} | {
            f"max_concurrent_exports of {school.code}": school.max_concurrent_exports
            for school in self.schools
        }
        for name, number in numbers.items():
            if number < 1:
                message = f"{name} must be 1 or more"
                raise ValueError(message)
        schemas = [school.schema for school in self.schools]
        schemas += [school.models_schema for school in self.schools if school.models_schema]
        for name, values in {
            "code": [school.code for school in self.schools],
            "schema": schemas,
        }.items():
            if len(set(values)) < len(values):
                message = f"two schools have the same {name}"
                raise ValueError(message)


def streams_of(group: str) -> tuple[str, ...]:
    """Return the streams that a group selects by name in `meltano.yml`.

    Those of API 1.1 are selected by patterns, because not every school has them.
    """
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    extractor, *_ = task_of(group).split()
    plugins = project["plugins"]["extractors"]
    patterns = next(plugin["select"] for plugin in plugins if plugin["name"] == extractor)
    names = [pattern.removesuffix(".*") for pattern in patterns]
    return tuple(name for name in names if name.isidentifier() and f"!{name}" not in names)


def task_of(group: str) -> str:
    """Return the task of a job in `meltano.yml`: an extractor and a loader."""
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    (task, *_) = next(job["tasks"] for job in project["jobs"] if job["name"] == group)
    return str(task)


def load() -> Plan:
    """Load the plan from `examples/dagster/schools.yml` or the file of `FILE_VARIABLE`.

    Raises:
        TypeError: If a key is unknown or missing.
        ValueError: If the plan is invalid.
    """
    path = Path(os.environ.get(FILE_VARIABLE) or Path(__file__).with_name("schools.yml"))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    schools = tuple(School(**school) for school in content.pop("schools"))
    return Plan(schools, tuple(content.pop("groups")), **content)
