"""What Dagster's side needs from outside: the platform, the dbt graph, what was reported so far. No business logic."""
