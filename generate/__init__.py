"""Files of this repository that are made of the tap itself, so that they cannot drift from it.

`python -m generate` (or `make generate`) writes them; tests/test_generated.py compares.
"""
