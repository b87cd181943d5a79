"""Use cases: the walk of a request and what surrounds it; no HTTP and no SQL."""
