"""Checks that a release must pass, without dependencies outside the standard library.

The release workflow runs `python -m scripts.release.changelog v1.2.0` and
`python -m scripts.release.package dist`.
"""
