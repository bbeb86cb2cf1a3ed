"""The plan: which schools are read, and how the limit of exports is divided among workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

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
        schema: PostgreSQL schema of its tables.
        max_concurrent_exports: Maximum number of exports that may be queued or running.
        api_url: Base URL of its API, if not the default.
    """

    code: str
    api_secret_variable: str
    schema: str
    max_concurrent_exports: int = 4
    api_url: str | None = None


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        groups: Jobs of `meltano.yml` to run for each school.
        workers: Number of concurrent `meltano run` processes.
        retries: How often a failed group is retried, if a retry can help.
        retry_delay_seconds: Delay before a retry.
    """

    schools: tuple[School, ...]
    groups: tuple[str, ...]
    workers: int
    retries: int = 1
    retry_delay_seconds: float = 300

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
        for field in ("code", "schema"):
            if len({getattr(school, field) for school in self.schools}) < len(self.schools):
                message = f"two schools have the same {field}"
                raise ValueError(message)

    def workers_for(self, school: School) -> int:
        """Return how many groups of a school may run at once; each needs at least one export."""
        return min(self.workers, len(self.groups), school.max_concurrent_exports)

    def exports_per_worker(self, school: School) -> int:
        """Return how many exports each group may have; together they stay within the limit."""
        return school.max_concurrent_exports // self.workers_for(school)


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
