"""Which content a file holds: evidence, names and the decision. Standard library only, for host agents use it too."""
