"""The terminal console: its own process, attached to an engine over the admin API."""
