"""Types for readers of the files of target-jsonl, from the tap's schemas: see docs/readers.md."""
