"""Generators of the files that are derived from the tap, so that they cannot drift from it.

`make generate` (`python -m scripts.generate`) writes the files; tests/project/test_documents.py
checks that they are up to date.
"""
