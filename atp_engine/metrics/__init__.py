"""What the engine counts: instruments, the catalog of metrics, the per-second ring, the text exposition."""
