"""Two schools in one Meltano project, with the command that the documentation gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.simulator import Dataset, Simulator
from tests.support import documents
from tests.support.pipeline import PROJECT, Workspace, meltano_states
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path

TAP, MASKED = "tap-campusgroups", "tap-campusgroups-masked"
STREAMS = {"users", "groups", "rsvp"}
VARIABLES = {
    "TAP_CAMPUSGROUPS__SELECT": '["users.*", "groups.*", "rsvp.*"]',
    "CAMPUSGROUPS_PSEUDONYM_KEY": "a key of enough characters",
}
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
SCHOOLS = {"north": TAP, "south": MASKED}
"""The tap of each school."""
PARTS = (
    'TAP_CAMPUSGROUPS_SCHOOL_CODE=north TAP_CAMPUSGROUPS_API_SECRET="$NORTH_API_SECRET" ',
    "TAP_CAMPUSGROUPS__LOAD_SCHEMA=north TAP_CAMPUSGROUPS_MASKED__LOAD_SCHEMA=north_masked ",
    'MELTANO_SYS_DIR_ROOT="$PWD/.meltano/north" ',
    "--state-id-suffix=north",
)


def command_for(school: str, tap: str) -> str:
    """Return the documentation's command for one of several schools."""
    command = documents.block("docs/scale-out.md", "Several schools", "sh")
    assert f"{TAP} target-postgres" in command
    command = command.replace("north", school).replace("NORTH", school.upper())
    return command.replace(f"{TAP} target", f"{tap} target")


@pytest.mark.parametrize("part", PARTS)
def test_command_in_meltano_yml_and_documentation_has_every_part(part: str) -> None:
    assert part in (PROJECT / "meltano.yml").read_text(encoding="utf-8")
    assert part in documents.block("docs/scale-out.md", "Several schools", "sh")


@pytest.mark.slow
def test_two_schools_have_schemas_and_states_of_their_own(
    postgres_server: str, tmp_path: Path
) -> None:
    """Both at the same time in the same folder, one of them masked."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres(postgres_server))
        schools = {
            name: stack.enter_context(
                Simulator(
                    Dataset(dict.fromkeys(STREAMS, 4 + seed), seed=seed, newest=NEWEST),
                    school_code=name,
                    api_secret=f"secret-of-{name}",
                )
            )
            for seed, name in enumerate(SCHOOLS)
        }
        workspace = Workspace(tmp_path, database=database)

        def load(name: str) -> None:
            finished = workspace.shell(
                command_for(name, SCHOOLS[name]),
                {
                    "TAP_CAMPUSGROUPS_API_URL": schools[name].url,
                    f"{name.upper()}_API_SECRET": schools[name].api_secret,
                    **VARIABLES,
                },
            )
            assert finished.code == 0, finished.output

        with ThreadPoolExecutor(len(SCHOOLS)) as pool:
            list(pool.map(load, SCHOOLS))
        assert database.schemas() == dict.fromkeys(("north", "south_masked"), STREAMS)
        for schema in ("north", "south_masked"):
            dataset = schools[schema.removesuffix("_masked")].dataset
            for stream in STREAMS:
                expected = {row["id"]: row["updatedOn"][:19] for row in dataset[stream]}
                loaded = database.rows(schema, stream)
                assert {row["id"]: row["updatedOn"].isoformat()[:19] for row in loaded} == expected
                assert len(loaded) == len(expected)
    for name, tap in SCHOOLS.items():
        states = set(meltano_states(workspace.system_folder / name))
        assert states == {f"dev:{tap}-to-target-postgres:{name}"}
