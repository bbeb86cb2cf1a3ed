"""Examples: the demo, orchestration, models."""
