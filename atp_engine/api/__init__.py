"""The HTTP face: LLM endpoints, admin API, event stream, dashboard."""
