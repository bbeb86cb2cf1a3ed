"""A thin adapter for Dagster: schools x groups of streams, each a `meltano run` of its own."""
