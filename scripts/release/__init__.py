"""Checks of a release, with nothing but Python's own library; the release workflow runs them, too.

`python -m scripts.release.changelog v1.2.0` and `python -m scripts.release.package dist`.
"""
