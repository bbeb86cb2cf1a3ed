"""The demo: a simulated service, Meltano, a real PostgreSQL and dbt."""
