"""Files of this repository that are made of the tap itself, so that they cannot drift from it.

`python -m scripts.generate` (or `make generate`) writes them; tests/project/test_generated.py compares.
"""
