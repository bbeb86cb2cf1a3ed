"""Measures loaders with the tap's output: `python -m tests.loaders [NAME…]`."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Final

from tap_campusgroups.config import CONFIG
from tests.loaders.environments import Loader, loaders
from tests.loaders.measurement import Measurement
from tests.loaders.nights import Inputs
from tests.loaders.servers import Servers

RESULTS: Final = Path(__file__).with_name("results.json")

_TEXT: Final = {"nested_values": "text", "decimals": "text"}

TAP_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    **({"text": _TEXT} if set(_TEXT) <= set(CONFIG["properties"]) else {}),
}
"""The configurations of the tap by name."""


def create_parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.loaders", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of loaders' names (default: all loaders)")
    parser.add_argument("--tap", choices=TAP_SETTINGS, action="append", help="settings of the tap")
    parser.add_argument("--list", action="store_true", help="list the loaders and exit")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the results")
    return parser


def main() -> int:
    """Measure loaders and update the results; return the exit code."""
    options = create_parser().parse_args()
    chosen = choose(loaders(), options.names)
    if options.list or not chosen:
        print("\n".join(f"{one.name} ({one.package} {one.version})" for one in chosen or loaders()))  # noqa: T201
        return 0 if options.list else 1
    results: dict[str, Any] = {}
    failed = False
    if options.results.exists():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory(prefix="tap-campusgroups-loaders-") as folder,
        Servers(Path(folder, "servers")) as servers,
    ):
        home = Path(folder)
        Path(folder, "tap").mkdir()
        inputs = {name: Inputs(home / "tap", settings) for name, settings in TAP_SETTINGS.items()}
        for number, loader in enumerate(chosen):
            for name in options.tap or TAP_SETTINGS:
                room = home / f"{re.sub('[^a-z0-9]', '', loader.name)}{number}{name}"
                measured = Measurement(
                    loader, inputs[name], inputs["default"], servers=servers, home=room
                )
                try:
                    result = measured.result()
                except Exception:  # noqa: BLE001 - the other loaders can be measured
                    failed = True
                    traceback.print_exc()
                    continue
                entry = results.setdefault(loader.name, {})
                entry |= {"package": loader.package, "version": loader.version}
                entry["python"] = loader.python
                entry.setdefault("tap", {})[name] = result
                report(loader.name, name, result)
                write(options.results, results)
    return int(failed)


def choose(listed: list[Loader], names: list[str]) -> list[Loader]:
    """Return the loaders of these names, or whose names contain one; without names, all."""
    known = {one.name for one in listed}
    return [
        one
        for one in listed
        if not names
        or any(name == one.name if name in known else name in one.name for name in names)
    ]


def report(loader: str, tap: str, result: dict[str, Any]) -> None:
    """Print a result in one line."""
    if "not_run" in result:
        text = f"not run here: {result['not_run']}"
    elif "error" in result:
        text = f"failed in night {result['night']}: {result['error']}"
    else:
        changed = {
            kind: sorted(found["examples"])
            for kind, found in result["values"].items()
            if "examples" in found
        }
        text = f"{result['rows']}, {changed or 'no value changed'}"
    print(f"{loader} [{tap}]: {text}", flush=True)  # noqa: T201 - output of the command


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the results in the order of the list, with the system that they were measured on."""
    order = {one.name: number for number, one in enumerate(loaders())}
    known = sorted((name for name in results if name in order), key=order.__getitem__)
    content = {name: results[name] for name in known}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
