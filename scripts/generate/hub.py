"""The tap's definition for Meltano Hub, made of what the tap says of itself.

The Hub keeps a file of this form for each plugin; whoever proposes the tap there hands in
`docs/hub/tap-campusgroups.yml`. Names, settings, capabilities and Python versions are those of
`tap-campusgroups --about --format json`, the streams are the tap's, and the maintenance status is
the package's. What only a person can say stands here.
"""

from __future__ import annotations

import json
import typing as t
from importlib import metadata

import yaml
from click.testing import CliRunner

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups

# Placeholders, until the repository has a public home: put its owner and address here, nowhere
# else, and run `make generate`. The domain is one that nobody can own, so that nothing is ever
# installed from there by mistake.
VARIANT: t.Final = "example"
"""Name of this variant among the Hub's taps of the same name: by custom, the repository's owner."""
REPOSITORY: t.Final = "https://git.example.com/example/tap-campusgroups"
"""Address of the repository."""

LABEL: t.Final = "CampusGroups"
"""Name of the source."""

if t.TYPE_CHECKING:
    from tap_campusgroups.client import CampusGroupsStream

_KINDS: t.Final = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    "number": "decimal",
    "object": "object",
    "string": "string",
}

_MAINTENANCE: t.Final = {
    "Development Status :: 3 - Alpha": "development",
    "Development Status :: 4 - Beta": "beta",
    "Development Status :: 5 - Production/Stable": "active",
}

_PREREQ: t.Final = """\
You need the school code and an API secret of your school, which is made in the CampusGroups admin
pages.
"""

_NEXT_STEPS: t.Final = """\
Rows may come twice: choose a loader that loads by primary key. If you are interested in some of the
streams only, name them with `select`.
"""

_HEADER: t.Final = """\
# Made by `make generate`: do not edit. scripts/generate/hub.py says of what.
# `repo`, `pip_url` and `variant` are placeholders until the repository has a public home.
"""


def about() -> dict[str, t.Any]:
    """Return what `tap-campusgroups --about --format json` prints."""
    result = CliRunner().invoke(
        TapCampusGroups.cli, ["--about", "--format", "json"], catch_exceptions=False
    )
    said: dict[str, t.Any] = json.loads(result.stdout)
    return said


def setting(name: str, schema: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Describe a setting in Meltano's terms.

    Args:
        name: The setting.
        schema: Its JSON schema.

    Returns:
        What the Hub's and Meltano's own lists of settings have of it.
    """
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    (kind,) = (_KINDS[one] for one in types if one != "null")
    choices = [choice for choice in schema.get("enum", []) if choice is not None]
    described = {
        "name": name,
        # Meltano hands ISO 8601 on as it is for this kind, and knows `yesterday`, too.
        "kind": "date_iso8601" if name.endswith("_date") else kind,
        "label": schema["title"],
        "description": schema["description"],
    }
    if choices:
        described |= {
            "kind": "options",
            "options": [{"label": str(choice).capitalize(), "value": choice} for choice in choices],
        }
    if schema.get("default") is not None:
        described["value"] = schema["default"]
    if schema.get("secret"):
        described["sensitive"] = True
    return described


def definition() -> dict[str, t.Any]:
    """Make the definition, its lists in the order that the Hub's formatter gives them."""
    said = about()
    name, settings, capabilities = said["name"], said["settings"], said["capabilities"]
    package = metadata.distribution(name)
    classifiers = package.metadata.get_all("Classifier") or []
    (maintenance,) = (_MAINTENANCE[one] for one in classifiers if one in _MAINTENANCE)
    (executable,) = package.entry_points.select(group="console_scripts")
    usual, later = STREAMS[ApiVersion.V1_0], STREAMS[ApiVersion.V1_1]
    more = [stream for stream in later if stream not in usual]
    made = {
        "name": name,
        "namespace": name.replace("-", "_"),
        "variant": VARIANT,
        "label": LABEL,
        "description": said["description"],
        "definition": (
            f"It has {len(usual)} streams: {_names(usual)}. With `api_version: "
            f'"{ApiVersion.V1_1}"` it has {len(more)} more: {_names(more)}.'
        ),
        "domain_url": "https://www.campusgroups.com",
        "logo_url": "/assets/logos/extractors/campusgroups.png",
        "repo": REPOSITORY,
        "pip_url": f"git+{REPOSITORY}.git",
        "executable": executable.name,
        "supported_python_versions": said["supported_python_versions"],
        "keywords": ["api", "higher education", "meltano_sdk"],
        "maintenance_status": maintenance,
        # What the Hub gives to a tap of the SDK from outside Meltano that is not in wide use yet.
        "quality": "silver",
        "capabilities": sorted(capabilities),
        "settings": [setting(*item) for item in sorted(settings["properties"].items())],
        "settings_group_validation": [sorted(settings["required"])],
        "prereq": _PREREQ,
        "next_steps": _NEXT_STEPS,
    }
    if "structured-logging" in capabilities:
        made["log_parser"] = "singer-sdk"
    return made


def _names(streams: t.Iterable[type[CampusGroupsStream]]) -> str:
    return ", ".join(f"`{stream.name}`" for stream in streams)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def text() -> str:
    """Write the definition as the Hub's formatter does: keys in alphabetical order."""
    return _HEADER + yaml.dump(definition(), Dumper=_Dumper, allow_unicode=True)
