"""Entry point of `python -m tap_campusgroups`."""

from __future__ import annotations

from tap_campusgroups.tap import TapCampusGroups

TapCampusGroups.cli()
