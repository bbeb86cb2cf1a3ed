"""Meltano with a system folder of a test's own, so that no test sees the catalog of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo.pipeline import PROJECT, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulator import Simulator


def own_environment(service: Simulator, home: Path, **more: Any) -> dict[str, str]:
    """Make the environment of a Meltano that keeps catalogs, states and logs in a folder.

    Args:
        service: The service.
        home: The folder; the plugins are this project's.
        **more: More variables.
    """
    system = home / "system"
    system.mkdir(exist_ok=True)
    for kind in ("extractors", "loaders"):
        if not (system / kind).is_symlink():
            (system / kind).symlink_to(PROJECT / ".meltano" / kind, target_is_directory=True)
    return {
        **environment(service, "postgresql://nowhere", home),
        "MELTANO_SYS_DIR_ROOT": str(system),
        "TARGET_JSONL_DESTINATION_PATH": str(home / "files"),
        **more,
    }
