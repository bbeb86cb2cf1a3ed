"""The generated files are up to date."""

from __future__ import annotations

import pytest

from scripts.generate.files import FILES, ROOT


@pytest.mark.parametrize("name", FILES)
def test_generated_file_is_up_to_date(name: str) -> None:
    path = ROOT / name
    assert path.read_text(encoding="utf-8") == FILES[name](), (
        f"{name} is out of date; run `make generate`"
    )
