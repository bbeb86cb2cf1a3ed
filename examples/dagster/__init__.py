"""Scheduling several schools with Dagster."""
