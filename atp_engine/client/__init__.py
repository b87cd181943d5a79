"""What any face may hold of the engine: a client over HTTP and SSE, and the views it returns."""
