"""Reports: what is built from `logs` and `duplicates` with dbt, and the SQL views on top of it."""
