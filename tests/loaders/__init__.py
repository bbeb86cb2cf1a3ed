"""What other packages' Singer loaders make of the tap's output: `python -m tests.loaders`.

Each loader runs in a separate environment over the same two nights that the tap emitted. What it
stored is read back and compared with the tap's records. `docs/targets.md` is generated from the
results.
"""
