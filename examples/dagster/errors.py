"""Reasons why a step fails."""

from __future__ import annotations


class StepFailedError(Exception):
    """A group failed; the message says why, in one line."""


class StepRefusedError(StepFailedError):
    """A group was not started, and a retry would not help."""
