"""The schema, as numbered steps that sqlite-utils applies once each and remembers in the file.

`opening` runs them on the writing connection before anything else. A step never changes after a
release; a new column is a new step. A file that names steps unknown here is newer and is refused.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from atp_engine.core.errors import StorageError

APPLICATION_ID = 0x41545043
"""`ATPC` in the file's header: how our files are told from other databases."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the file up to date. Raises StorageError when it was made by a newer version."""
    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    steps = _steps()
    unknown = {step.name for step in steps.applied(database)} - {step.__name__ for step in _STEPS}
    if unknown:
        raise StorageError(
            f"the database was made by a newer version (it has {', '.join(sorted(unknown))}); "
            "update, or move the file away to start a new one"
        )
    steps.apply(database)


def _steps() -> Migrations:
    steps = Migrations("atp_console")
    for step in _STEPS:
        steps()(step)
    return steps


def m0001_requests(database: Database) -> None:
    """Requests, what they have in common, decisions and the ledger.

    `requests.number` rises in the order of commits, `requests.id` in the order of arrival. The
    session's index and the sums by time are filled in bulk behind the writes (`summaries`): kept up
    per row they would cost more than the rows themselves.
    """
    database.execute(
        """
        CREATE TABLE requests (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            started_at REAL NOT NULL,
            session_id TEXT NOT NULL,
            kind INTEGER NOT NULL,
            error_message TEXT,
            ttft_ms REAL,
            duration_ms REAL,
            tokens_per_s REAL,
            prompt_tokens INTEGER NOT NULL,
            cache_read_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            dropped_fields TEXT,
            position INTEGER NOT NULL
        )
        """
    )
    database.execute("CREATE UNIQUE INDEX requests_by_id ON requests(id)")
    _create_kinds(database)
    database.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY, decision TEXT NOT NULL) WITHOUT ROWID")
    _create_attempts(database)
    _create_views(database)


def _create_kinds(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE kinds (
            id INTEGER PRIMARY KEY,
            state TEXT NOT NULL,
            client TEXT NOT NULL,
            key_id TEXT NOT NULL,
            key_name TEXT NOT NULL,
            dialect TEXT NOT NULL,
            is_stream INTEGER NOT NULL,
            asked TEXT NOT NULL,
            route TEXT NOT NULL,
            served TEXT NOT NULL,
            model TEXT NOT NULL,
            provider TEXT NOT NULL,
            tries INTEGER NOT NULL,
            http_status INTEGER NOT NULL,
            error_code TEXT NOT NULL,
            is_usage_estimated INTEGER NOT NULL,
            price_state TEXT NOT NULL,
            finish_reason TEXT NOT NULL,
            has_body INTEGER NOT NULL,
            config_version INTEGER NOT NULL,
            decision_id TEXT NOT NULL
        )
        """
    )


def _create_attempts(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE attempts (
            line INTEGER PRIMARY KEY,
            deployment TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            outcome TEXT NOT NULL,
            started_ms REAL NOT NULL,
            duration_ms REAL NOT NULL,
            ttft_ms REAL,
            http_status INTEGER NOT NULL,
            message TEXT,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cache_read_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            is_estimated INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            price_state TEXT NOT NULL
        )
        """
    )


def _create_views(database: Database) -> None:
    database.execute(
        """
        CREATE VIEW request_rows AS
        SELECT requests.*, state, client, key_id, key_name, dialect, is_stream, asked, route, served, model, provider,
            tries, http_status, error_code, is_usage_estimated, price_state, finish_reason, has_body, config_version,
            decision_id
        FROM requests JOIN kinds ON kinds.id = requests.kind
        """
    )
    database.execute(
        """
        CREATE VIEW attempt_rows AS
        SELECT requests.id AS request_id, line % 1000 AS attempt, attempts.*
        FROM attempts JOIN requests ON requests.number = line / 1000
        """
    )


def m0002_summaries(database: Database) -> None:
    """What is derived from requests in bulk, and how far it reaches (`marks`)."""
    database.execute(
        """
        CREATE TABLE session_requests (
            session_id TEXT NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (session_id, id)
        ) WITHOUT ROWID
        """
    )
    database.execute(
        """
        CREATE TABLE quarters (
            quarter INTEGER PRIMARY KEY,
            requests INTEGER NOT NULL,
            errors INTEGER NOT NULL,
            unknown_cost INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL
        )
        """
    )
    database.execute("CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")


def m0003_sessions(database: Database) -> None:
    """Summaries of sessions; `price_rank` is 0 known, 1 assumed, 2 unknown."""
    database.execute(
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            client TEXT NOT NULL,
            key_name TEXT NOT NULL,
            title TEXT NOT NULL,
            started_at REAL NOT NULL,
            last_at REAL NOT NULL,
            requests INTEGER NOT NULL,
            errors INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            price_rank INTEGER NOT NULL
        ) WITHOUT ROWID
        """
    )
    database.execute("CREATE INDEX sessions_by_last_at ON sessions(last_at)")


def m0004_keys(database: Database) -> None:
    """Client keys, known by their hash alone, and the audit chain."""
    database.execute(
        """
        CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE,
            name TEXT NOT NULL,
            project TEXT NOT NULL,
            qos TEXT NOT NULL,
            requests_per_minute INTEGER NOT NULL,
            prefix TEXT NOT NULL,
            last_four TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL
        )
        """
    )
    database.execute(
        """
        CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            detail TEXT NOT NULL,
            chain BLOB NOT NULL
        )
        """
    )


def m0005_windows(database: Database) -> None:
    """Counts of windows: what each had used when a request number was reached, and up to where it is leased."""
    database.execute(
        "CREATE TABLE window_rules (name TEXT PRIMARY KEY, fingerprint TEXT, through INTEGER) WITHOUT ROWID"
    )
    for table in ("window_marks", "window_leases"):
        database.execute(
            f"""
            CREATE TABLE {table} (
                rule TEXT NOT NULL,
                subject TEXT NOT NULL,
                starts_at REAL NOT NULL,
                ends_at REAL NOT NULL,
                tokens INTEGER NOT NULL,
                nusd INTEGER NOT NULL,
                PRIMARY KEY (rule, subject)
            ) WITHOUT ROWID
            """
        )


def m0006_key_details(database: Database) -> None:
    """What a key may use and how it is hashed (`hashed` is `sha256` or `hmac`), and tokens of the admin side."""
    for column in ("routes", "models", "tags", "windows"):
        database.execute(f"ALTER TABLE keys ADD COLUMN {column} TEXT NOT NULL DEFAULT '[]'")
    database.execute("ALTER TABLE keys ADD COLUMN hashed TEXT NOT NULL DEFAULT 'sha256'")
    database.execute(
        """
        CREATE TABLE admin_tokens (
            id TEXT PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE,
            name TEXT NOT NULL,
            role TEXT NOT NULL,
            prefix TEXT NOT NULL,
            last_four TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL
        )
        """
    )


def m0007_prompt_estimates(database: Database) -> None:
    """What each prompt was estimated at, to measure the estimator by what vendors reported."""
    database.execute("ALTER TABLE requests ADD COLUMN prompt_estimate INTEGER NOT NULL DEFAULT 0")


def m0008_feedback(database: Database) -> None:
    """What callers thought of their answers."""
    database.execute(
        """
        CREATE TABLE feedback (
            number INTEGER PRIMARY KEY,
            request_id TEXT NOT NULL,
            at REAL NOT NULL,
            score REAL,
            labels TEXT NOT NULL,
            is_accepted INTEGER,
            is_regenerated INTEGER,
            comment TEXT NOT NULL
        )
        """
    )
    database.execute("CREATE INDEX feedback_by_request ON feedback(request_id, number)")


def m0010_config_versions(database: Database) -> None:
    """Every text that was made live, with who did it and why; `texts` is compressed JSON of names and texts."""
    database.execute(
        """
        CREATE TABLE config_versions (
            number INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            author TEXT NOT NULL,
            reason TEXT NOT NULL,
            outcome TEXT NOT NULL,
            changes TEXT NOT NULL,
            digest TEXT NOT NULL,
            texts BLOB NOT NULL
        )
        """
    )


def m0011_queue_wait(database: Database) -> None:
    """How long a request waited in queues; null when it did not."""
    database.execute("ALTER TABLE requests ADD COLUMN queue_wait_ms REAL")


def m0012_responses(database: Database) -> None:
    """Answers of `/v1/responses` with their turns' input, kept for a while."""
    database.execute(
        """
        CREATE TABLE responses (
            id TEXT PRIMARY KEY,
            key_id TEXT NOT NULL,
            deployment TEXT NOT NULL,
            provider TEXT NOT NULL,
            dialect TEXT NOT NULL,
            previous_id TEXT NOT NULL,
            created_at REAL NOT NULL,
            input BLOB NOT NULL,
            body BLOB NOT NULL,
            bytes INTEGER NOT NULL
        )
        """
    )
    database.execute("CREATE INDEX responses_by_age ON responses(created_at, bytes)")


def m0013_ledger(database: Database) -> None:
    """What of a cache write is kept an hour; sums of the ledger by step of time (`rollups`)."""
    database.execute("ALTER TABLE attempts ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0")
    database.execute(
        """
        CREATE TABLE rollups (
            step TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            by TEXT NOT NULL,
            name TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            estimated INTEGER NOT NULL,
            assumed INTEGER NOT NULL,
            unknown INTEGER NOT NULL,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cache_read_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            PRIMARY KEY (step, by, starts_at, name)
        ) WITHOUT ROWID
        """
    )


def m0014_stretches(database: Database) -> None:
    """What stretches of requests hold of each kind and came to (`stretches`); the steps of charts (`traffic`)."""
    database.execute(
        """
        CREATE TABLE stretches (
            stretch INTEGER PRIMARY KEY,
            first_id TEXT NOT NULL,
            last_id TEXT NOT NULL,
            ended_from REAL NOT NULL,
            ended_until REAL NOT NULL
        )
        """
    )
    database.execute(
        """
        CREATE TABLE stretch_sums (
            stretch INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            deployment TEXT NOT NULL,
            price_state TEXT NOT NULL,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cache_read_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            PRIMARY KEY (stretch, kind, deployment, price_state)
        ) WITHOUT ROWID
        """
    )
    database.execute(
        """
        CREATE TABLE traffic_steps (
            width_s INTEGER NOT NULL,
            by TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (width_s, by, starts_at)
        ) WITHOUT ROWID
        """
    )


def m0015_pins(database: Database) -> None:
    """Requests whose bodies and lines stay until they are unpinned."""
    database.execute(
        "CREATE TABLE pins (request_id TEXT PRIMARY KEY, at REAL NOT NULL, by TEXT NOT NULL) WITHOUT ROWID"
    )


def m0016_service_tier(database: Database) -> None:
    """The service tier that a vendor says it served at; null for the standard one."""
    database.execute("ALTER TABLE attempts ADD COLUMN service_tier TEXT")


_STEPS = (
    m0001_requests,
    m0002_summaries,
    m0003_sessions,
    m0004_keys,
    m0005_windows,
    m0006_key_details,
    m0007_prompt_estimates,
    m0008_feedback,
    m0010_config_versions,
    m0011_queue_wait,
    m0012_responses,
    m0013_ledger,
    m0014_stretches,
    m0015_pins,
    m0016_service_tier,
)
