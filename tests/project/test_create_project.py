"""The user's own Meltano project has all files of the recipes and a pinned tap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from examples.create_project import SOURCE, main
from tests.support import nightly

if TYPE_CHECKING:
    from pathlib import Path

PIP_URL = "git+https://example.com/tap-campusgroups.git@v1.2.0"


def test_created_project_differs_from_ours_only_in_the_pinned_tap(tmp_path: Path) -> None:
    assert main([str(tmp_path / "own"), PIP_URL]) == 0
    ours, own = (
        yaml.safe_load((folder / "meltano.yml").read_text("utf-8"))
        for folder in (SOURCE, tmp_path / "own")
    )
    del ours["project_id"]
    extractor = ours["plugins"]["extractors"][0]
    assert (extractor["name"], extractor["pip_url"]) == ("tap-campusgroups", "-e .")
    extractor["pip_url"] = PIP_URL
    assert own == ours
    assert "-e ." not in str(own)
    for path in (*own["include_paths"], *nightly.copied_files(), "examples/dbt/dbt_project.yml"):
        assert (tmp_path / "own" / path).exists(), path
    assert not (tmp_path / "own" / "examples" / "demo").exists()
    ignored = (tmp_path / "own" / ".gitignore").read_text("utf-8").split()
    assert set(ignored) <= set((SOURCE / ".gitignore").read_text("utf-8").split())


@pytest.mark.parametrize(
    ("pip_url", "problem"),
    [
        ("git+https://example.com/tap-campusgroups.git", "is not pinned"),
        ("git+https://example.com/tap-campusgroups.git@main", "is not pinned"),
        ("tap-campusgroups>=1.2", "is not pinned"),
        ("-e .", "is not pinned"),
        ("/wheels/tap_campusgroups-1.2.0-py3-none-any.whl", "meltano.yml exists already"),
        ("tap-campusgroups==1.2.0", "meltano.yml exists already"),
    ],
)
def test_project_without_a_version_or_over_another_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pip_url: str, problem: str
) -> None:
    (tmp_path / "meltano.yml").write_text("of the user", "utf-8")
    assert main([str(tmp_path), pip_url]) == 1
    assert problem in capsys.readouterr().err
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["of the user"]
