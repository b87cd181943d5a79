"""Instruments, the catalog of metrics and their text exposition."""
