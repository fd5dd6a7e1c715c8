"""Assets, checks and jobs as Dagster shows them. Thin: they call nw_platform and report counts."""
