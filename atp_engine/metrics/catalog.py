"""Every metric of the engine, one line each; all names are in the `atp_` family.

`engine` builds one `Catalog`, services hold the families or bound children, `/metrics` renders it.
Units are in the names; money is counted in nano-dollars and shown in dollars.
"""

from __future__ import annotations

from atp_engine.metrics.instruments import Registry
from atp_engine.metrics.process import read_process


class Catalog:
    """The engine's instruments."""

    def __init__(self, version: str) -> None:
        r = self.registry = Registry()
        self.requests = r.counter("atp_requests_total", "Finished requests by final state and route.", "state", "route")
        self.attempts = r.counter("atp_attempts_total", "Upstream calls by their end.", "deployment", "outcome")
        self.duration = r.histogram("atp_request_duration_seconds", "From arrival to the end of the answer.")
        self.ttft = r.histogram("atp_ttft_seconds", "From the start of an upstream call to its first content.")
        self.tokens = r.counter(
            "atp_tokens_total", "Tokens: input, output, cache_read, cache_write, reasoning.", "kind"
        )
        self.cost = r.counter("atp_cost_usd_total", "Known and assumed cost in US dollars.", unit=1e-9)
        self.unknown_cost = r.counter("atp_unknown_cost_requests_total", "Upstream calls whose price is unknown.")
        self.refused = r.counter("atp_refused_total", "Requests refused before routing, by error code.", "code")
        self.in_flight = r.gauge("atp_in_flight", "Requests being served now.")
        self.queue_depth = r.gauge("atp_queue_depth", "Requests waiting for a place or a slot, by class.", "qos")
        self.queue_wait = r.histogram("atp_queue_wait_seconds", "Time that requests spent in queues, if they did.")
        self.deployment_in_flight = r.gauge("atp_deployment_in_flight", "Calls in flight.", "deployment")
        self.deployment_limit = r.gauge("atp_deployment_limit", "Most calls in flight now, 0 is none.", "deployment")
        self.deployment_queue = r.gauge("atp_deployment_queue", "Requests waiting for a slot.", "deployment")
        self.sessions = r.gauge("atp_sessions", "Sessions in memory.")
        self.recorder_lag = r.gauge("atp_recorder_lag_seconds", "Age of the oldest record not yet committed.")
        self.dropped = r.counter("atp_dropped_total", "Entries lost by a bounded buffer.", "buffer")
        self.storage_bytes = r.gauge("atp_storage_bytes", "Size on the disk: database, log, bodies, others.", "kind")
        self.storage_limit = r.gauge("atp_storage_limit_bytes", "Most bytes of the data directory.")
        self.disk_free = r.gauge("atp_disk_free_bytes", "Left on the data directory's disk.")
        self.given_up = r.counter(
            "atp_storage_given_up_total",
            "What made room before its time: successes, errors, pinned, answers, ledger.",
            "kind",
        )
        self.circuit_state = r.gauge("atp_circuit_state", "0 closed, 1 half-open, 2 open.", "deployment")
        self.connections = r.gauge("atp_upstream_connections", "Connections to upstreams.", "state")
        self.config_version = r.gauge("atp_config_version", "Number of the live configuration.")
        self.build_info = r.gauge("atp_build_info", "Always 1; the version is a label.", "version")
        self.resident_bytes = r.gauge("atp_process_resident_bytes", "Memory of the engine's process.")
        self.cpu_seconds = r.counter("atp_process_cpu_seconds_total", "User and system time of the engine's process.")
        self.open_files = r.gauge("atp_process_open_fds", "Open file descriptors.")
        self.build_info.child(version).set(1)

    def read_process(self) -> None:
        """Brings the process figures up to date; called for every scrape."""
        vitals = read_process()
        self.cpu_seconds.child().value = vitals.cpu_s
        if vitals.resident_bytes is not None:
            self.resident_bytes.child().set(vitals.resident_bytes)
        if vitals.open_files is not None:
            self.open_files.child().set(vitals.open_files)
