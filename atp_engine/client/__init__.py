"""What any face may hold: a client of the admin API over HTTP and SSE, and nothing of the engine's inside."""
