"""Exports: one export as steps, answers, retries, the scheduler, connections."""
