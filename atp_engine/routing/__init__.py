"""Pure routing decisions: the table of names, deployment health, strategies and the router."""
