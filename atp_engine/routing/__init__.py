"""Pure decisions: which deployment serves a request, and why."""
