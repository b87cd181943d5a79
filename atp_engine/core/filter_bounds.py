"""What can be told of a filter without looking at whole rows: so that a search may skip most of them.

Two things: whether rows with these names, state and status can match at all (`Node.may`, of three-valued logic), and
bounds that every matching row keeps. Both may let through too much, never too little. `core/filter` builds nodes,
`storage/request_search` uses what comes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atp_engine.core.filter_fields import COMMON, Comparison, Field, Term, Test, text_test
from atp_engine.core.views import RequestView


@dataclass(frozen=True, slots=True)
class Bound:
    """What every matching row keeps: one of these attributes compares so (a text contains the value, in lower
    case), or the names that many rows share are `common`. `age_s` and `tokens` are attributes too."""

    attributes: tuple[str, ...]
    comparison: Comparison
    value: float | str
    common: Test | None = None


def everything(_view: RequestView, _now: float) -> bool:
    """The test that every row passes."""
    return True


def nothing(_view: RequestView, _now: float) -> bool:
    """The test that no row passes."""
    return False


class Node(NamedTuple):
    """A part of a query: its test; whether a row may match and whether it must, told from what many rows have in
    common alone; and what holds whenever it matches."""

    test: Test
    may: Test = everything
    must: Test = nothing
    bounds: tuple[Bound, ...] = ()


def leaf(field: Field, term: Term) -> Node:
    """A single term. Raises FieldError."""
    test = field.compile(term)
    if field.is_common or (field.attributes and COMMON.issuperset(field.attributes)):
        return Node(test, test, test)
    bound = _bound(field, term)
    return Node(test, bounds=() if bound is None else (bound,))


def all_of(nodes: Sequence[Node]) -> Node:
    """All parts match."""
    if len(nodes) == 1:
        return nodes[0]
    bounds = tuple([bound for node in nodes for bound in node.bounds])
    return Node(
        _both([node.test for node in nodes]),
        _both([node.may for node in nodes]),
        _both([node.must for node in nodes]),
        bounds,
    )


def any_of(nodes: Sequence[Node]) -> Node:
    """One part matches."""
    if len(nodes) == 1:
        return nodes[0]
    return Node(
        _either([node.test for node in nodes]),
        _either([node.may for node in nodes]),
        _either([node.must for node in nodes]),
    )


def opposite(node: Node) -> Node:
    """The part does not match."""
    return Node(_not(node.test), _not(node.must), _not(node.may))


def _bound(field: Field, term: Term) -> Bound | None:
    if field.figure is not None:
        attribute, read = field.figure
        try:
            return Bound((attribute,), Comparison.AT_MOST if field.uses_clock else term.comparison, read(term.value))
        except ValueError:  # a word, such as unknown
            return None
    if not field.attributes or term.comparison not in (Comparison.HAS, Comparison.IS):
        return None
    if "*" in term.value and not term.is_quoted:
        return None
    shared = tuple([name for name in field.attributes if name in COMMON])
    own = tuple([name for name in field.attributes if name not in COMMON])
    return Bound(own, Comparison.HAS, term.value.lower(), text_test(*shared)(term) if shared else None)


def _both(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    first, rest = tests[0], _both(tests[1:])
    return lambda view, now: first(view, now) and rest(view, now)


def _either(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    first, rest = tests[0], _either(tests[1:])
    return lambda view, now: first(view, now) or rest(view, now)


def _not(test: Test) -> Test:
    return lambda view, now: not test(view, now)
