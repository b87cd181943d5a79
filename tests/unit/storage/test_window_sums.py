"""What a window that is new has used: the same whether it is added up by stretches or line by line."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.types import PriceState, TokenUsage
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.storage.stretches import take_in, wrong_sums
from atp_engine.storage.windows import LedgerSum, WindowRepository
from atp_engine.system import SystemClock
from tests.support.records import a_view, an_attempt

APART = 150
"""Between numbers, so that few requests make many stretches."""
START = 1_790_000_000.0
Line = tuple[int, float, tuple[str, str, str, PriceState], tuple[int, ...]]


def _records(rng: random.Random) -> tuple[list[RequestRecord], list[Line]]:
    """Requests about in the order in which they ended, and what their lines say."""
    records: list[RequestRecord] = []
    lines: list[Line] = []
    for number in range(1, 301):
        started_at = START + number * 10.0 - rng.choice((0.0, 5.0, 400.0))
        key, session = f"key_{rng.randrange(3)}", f"s-{rng.randrange(4)}"
        attempts = []
        for place in range(rng.choice((0, 1, 1, 1, 2))):
            deployment, state = rng.choice(("fast", "slow")), rng.choice((PriceState.KNOWN, PriceState.UNKNOWN))
            usage = TokenUsage(rng.randrange(9_999), rng.randrange(999), rng.randrange(99), rng.randrange(9))
            nusd = rng.randrange(10**12)
            attempts.append(
                an_attempt(
                    place + 1, deployment=deployment, price_state=state, usage=usage, cost_nusd=nusd,
                    started_ms=rng.random(), duration_ms=rng.random() * 9_000,
                )
            )  # fmt: skip
            ended_at = started_at + (attempts[-1].started_ms + attempts[-1].duration_ms) / 1_000.0
            amounts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens, nusd)
            lines.append((number * APART, ended_at, (key, session, deployment, state), amounts))
        view = a_view(f"req_{number:06d}", started_at=started_at, session_id=session)
        records.append(RequestRecord(view, key, 1, None, tuple(attempts), (), 1))
    return records, lines


def _spread_out(connection: sqlite3.Connection) -> None:
    """By way of negative numbers, for none may be there twice on the way."""
    connection.execute("UPDATE requests SET number = number * ?", (-APART,))
    connection.execute("UPDATE attempts SET line = -(line / 1000 * 1000 * ? + line % 1000)", (APART,))
    for query in ("UPDATE requests SET number = -number", "UPDATE attempts SET line = -line"):
        connection.execute(query)


def _said(lines: list[Line], after: int, until: int, since_at: float, by_session: bool) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for number, ended_at, (key, session, deployment, state), amounts in lines:
        if after < number <= until and ended_at >= since_at:
            for place, amount in enumerate(amounts):
                found[key, session if by_session else "", deployment, state, place] += amount
    return +found


def _given(sums: tuple[LedgerSum, ...]) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for one in sums:
        usage = one.usage
        amounts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens, one.nusd)
        for place, amount in enumerate(amounts):
            found[one.key_id, one.session_id, one.deployment, one.price_state, place] += amount
    return +found


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
async def test_a_span_of_lines_comes_to_the_same_by_stretches_and_line_by_line(seed: int) -> None:
    rng = random.Random(seed)
    records, lines = _records(rng)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "atp.db", SystemClock())
        requests = RequestRepository(database)
        for record in records:
            requests.add(record)
        await database.commit(Write(action=_spread_out))
        windows = WindowRepository(database)
        for _ in range(5):
            for _ in range(rng.randrange(3)):
                await database.commit(Write(action=take_in))
            after, until = rng.choice((0, rng.randrange(40_000))), rng.choice((45_000, rng.randrange(1, 50_000)))
            since_at = rng.choice((0.0, START + rng.random() * 3_200, rng.choice(lines)[1]))
            for by_session in (False, True):
                found = _given(await windows.sums(after, until, since_at, by_session=by_session))
                assert found == _said(lines, after, until, since_at, by_session), (after, until, since_at)
            of = await windows.sums(after, until, since_at, by_session=True, sessions={"s-1"})
            said = _said(lines, after, until, since_at, by_session=True)
            assert _given(of) == Counter({place: count for place, count in said.items() if place[1] == "s-1"})
        _, wrong = await database.read(lambda connection: wrong_sums(connection, 0, 99, 0.0, 9))
        assert wrong == []
        await database.commit(Write(action=lambda connection: _alter(connection)))
        stretches, wrong = await database.read(lambda connection: wrong_sums(connection, 0, 99, 0.0, 9))
        assert len(wrong) == (stretches > 0)
        await database.aclose()


def _alter(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE attempts SET cost_nusd = cost_nusd + 1 WHERE line = (SELECT min(line) FROM attempts)")
