"""The protocol: plan -> raw -> receipt -> duplicates -> logs, and what repairs, proves and forgets it."""
