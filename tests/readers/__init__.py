"""Readers of the files of target-jsonl, on rows that break their inference: `make readers`.

For each reader, the types that it infers and those that the project generates. The result is the
table in docs/readers.md.
"""
