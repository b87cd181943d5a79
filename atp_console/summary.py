"""What `atp-console status` prints: the engine's vital signs in a few lines."""

from __future__ import annotations

from atp_console.format import dollars, duration, grouped, share, span
from atp_engine.core.text import safe_text
from atp_engine.core.views import EngineView


def status_lines(engine: EngineView) -> list[str]:
    """One line each for place, traffic, money and storage, then whatever is wrong."""
    money = f"{dollars(engine.cost_today_nusd)} today, {dollars(engine.cost_per_hour_nusd)}/h"
    if engine.unknown_cost_today:
        money += f", {grouped(engine.unknown_cost_today)} requests of unknown price not counted"
    lines = [
        f"engine    {engine.url}  up {span(engine.uptime_s)}  version {engine.version}  pid {engine.pid}",
        f"config    {engine.config_path}  version {engine.config_version}",
        f"requests  {engine.requests_per_s:.1f}/s  {engine.in_flight} in flight  {engine.queued} queued  "
        f"{grouped(engine.requests_total)} since start  {share(engine.error_share)} failed",
        f"latency   p50 {duration(engine.p50_ms)}  p95 {duration(engine.p95_ms)}",
        f"money     {money}",
        f"storage   {engine.storage_state}  recorder lag {engine.recorder_lag_ms:.0f} ms",
    ]
    lost = {name: count for name, count in engine.dropped.items() if count}
    if lost:
        lines.append("dropped   " + ", ".join(f"{name} {grouped(count)}" for name, count in lost.items()))
    lines += [f"problem   {safe_text(problem)}" for problem in engine.config_problems]
    lines += [f"warning   {safe_text(warning)}" for warning in engine.warnings]
    return lines
