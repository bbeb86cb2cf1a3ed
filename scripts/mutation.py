"""Mutates modules with mutmut and prints the share of mutants that their tests kill.

    .build/venv-mutation/bin/python -m scripts.mutation exports.scheduler state

Without arguments, it mutates all modules in `[tool.mutation]` of pyproject.toml, which names the
tests of each. Each module has a folder in `.build/mutation`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
MINIMUM_PERCENT: Final = 90
COPIED: Final = ("tap_campusgroups", "tests", "examples")

# Imported once for all mutants.
PRELOADED: Final = ("hypothesis.strategies", "psycopg", "pytest", "singer_sdk")


def create_copy(module: str, tests: list[str]) -> Path:
    """Create a folder in which mutmut mutates one module and runs its tests."""
    folder = PROJECT / ".build" / "mutation" / module
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(PROJECT / name, folder / name)
    mutated = folder / "tap_campusgroups" / f"{module.replace('.', '/')}.py"
    text = mutated.read_text(encoding="utf-8")
    # mutmut skips decorated functions.
    mutated.write_text(re.sub(r"^ *@override\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    settings = (
        "[tool.mutmut]\n"
        f"only_mutate = {json.dumps([str(mutated.relative_to(folder))])}\n"
        f"pytest_add_cli_args_test_selection = {json.dumps(tests)}\n"
    )
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    changed = text.replace("[tool.mutmut]\n", settings)
    (folder / "pyproject.toml").write_text(changed, encoding="utf-8")
    (folder / "preloaded.txt").write_text("\n".join(PRELOADED), encoding="utf-8")
    return folder


def run(module: str, tests: list[str]) -> float:
    """Run mutmut for a module, print its result, and return the percentage of killed mutants."""
    folder = create_copy(module, tests)
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    subprocess.run([mutmut, "run"], cwd=folder, check=True)  # noqa: S603 - fixed arguments
    command = [mutmut, "results", "--all", "true"]
    results = subprocess.check_output(command, cwd=folder, text=True)  # noqa: S603 - as above
    found = Counter(line.rsplit(": ", 1)[1] for line in results.splitlines() if line)
    killed, total = found["killed"] + found["timeout"], found.total()
    percent = 100 * killed / total
    sys.stdout.write(f"{module}: {killed} of {total} killed, {percent:.1f} %\n")
    return percent


def main() -> int:
    """Run for the modules in the arguments; return 1 if the percentage of one is too low."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    tests = tomllib.loads(text)["tool"]["mutation"]
    modules = sys.argv[1:] or list(tests)
    return int(min(run(module, tests[module]) for module in modules) < MINIMUM_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
