"""Neverwinter: proves that logs are complete. Everything in here runs without Dagster."""
