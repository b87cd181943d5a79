"""What is possible and hardly meant: prices in another unit, routes that nothing can serve, templates.

`checks` calls it on the plain tree; everything here is a warning. Values of a wrong type are skipped: the
validator tells them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from atp_engine.config.positions import KeyPath
from atp_engine.config.problems import Complaints

_HIGHEST_USD = 2_000.0
"""Per million tokens: far above any list price of November 2026."""
_LOWEST_USD = 0.0005
_PER_MILLION = frozenset(
    {"input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "input_above", "output_above"}
)
_TEMPLATE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::?-[^}]*)?\}")


def check_sanity(tree: Mapping[str, Any], texts: Sequence[tuple[KeyPath, str]], complaints: Complaints) -> None:
    """Adds a warning for each thing that is probably not meant; `texts` are all that the tree holds."""
    deployments = _tables(tree.get("deployments"))
    for name, deployment in deployments.items():
        price = deployment.get("price")
        if isinstance(price, Mapping):
            _check_price(("deployments", name, "price"), price, complaints)
    for name, price in _tables(tree.get("prices")).items():
        _check_price(("prices", name), price, complaints)
    for name, route in _tables(tree.get("routes")).items():
        _check_reach(name, route, deployments, complaints)
    for path, text in texts:
        if "${" in text and _TEMPLATE.search(text):
            complaints.add(
                path,
                "is taken as it stands, ${...} too",
                "only env:, file: and keyring: are looked up",
                is_warning=True,
            )


def _check_price(path: KeyPath, price: Mapping[str, Any], complaints: Complaints) -> None:
    for key, value in price.items():
        if key not in _PER_MILLION or not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if value > _HIGHEST_USD:
            message = "is far above every list price"
        elif 0 < value < _LOWEST_USD:
            message = "looks like a price for one token"
        else:
            continue
        complaints.add((*path, key), message, "prices are US dollars per million tokens", is_warning=True)
    given, read = price.get("input"), price.get("cache_read")
    if isinstance(given, (int, float)) and isinstance(read, (int, float)) and read > given:
        complaints.add((*path, "cache_read"), "is more than a fresh prompt token costs", is_warning=True)
    output = price.get("output")
    if isinstance(given, (int, float)) and isinstance(output, (int, float)) and 0 < output < given / 4:
        complaints.add((*path, "output"), "is much less than the input price", "are the two swapped?", is_warning=True)


def _check_reach(
    name: str, route: Mapping[str, Any], deployments: Mapping[str, Mapping[str, Any]], complaints: Complaints
) -> None:
    targets = route.get("deployments")
    if not isinstance(targets, (list, tuple)) or not targets:
        return
    wanted = [target.get("deployment") if isinstance(target, Mapping) else target for target in targets]
    known = [deployments[one] for one in wanted if isinstance(one, str) and one in deployments]
    if len(known) == len(wanted) and all(one.get("is_enabled") is False for one in known):
        complaints.add(
            ("routes", name, "deployments"), "reaches nothing: every one of them is disabled", is_warning=True
        )


def _tables(section: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(section, Mapping):
        return {}
    return {name: table for name, table in section.items() if isinstance(table, Mapping)}
