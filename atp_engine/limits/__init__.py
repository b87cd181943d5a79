"""Pure maths of admission: rates, concurrency, queues."""
