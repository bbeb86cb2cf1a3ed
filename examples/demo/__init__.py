"""The demo: from a simulated service through Meltano into a real PostgreSQL."""
