"""Checks of a release, with nothing but Python's own library; the release workflow runs them, too.

`python -m checks.changelog v1.2.0` and `python -m checks.package dist`.
"""
