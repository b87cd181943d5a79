"""Upstreams: transports, the registry of vendors, the HTTP provider and the simulated one."""
