"""Recipes of the documentation from beginning to end: `make recipes`, not part of `make test`."""
