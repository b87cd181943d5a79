"""The filter language over request rows: `model:claude* ttft>2s -state:ok | status:429`.

One grammar for the console, the dashboard's `?q=` and the admin API. `parse` compiles a query to one
predicate; the clock is an argument of the predicate. Hostile queries cost bounded time: their length,
depth and regular expressions are capped, and text is cut before an expression sees it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from atp_engine.core.filter_bounds import Bound, Node, all_of, any_of, everything, leaf, opposite
from atp_engine.core.filter_fields import FIELDS, Comparison, Field, FieldError, Term, Test, sought_pattern

QUERY_CAP = 512
_DEPTH_CAP = 16
_NAME = re.compile(r"([A-Za-z][A-Za-z_/]*)(:~|!=|>=|<=|[:~=<>])")
_ANY_TEXT = FIELDS["text"]
_HEAD = re.compile(r"[A-Za-z][A-Za-z_/]*[:~=<>!]")


class FilterError(ValueError):
    """The query cannot be used: what is wrong, at which 0-based character, and what to write instead."""

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.hint = hint

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.message} at character {self.position + 1}{hint}"


@dataclass(frozen=True, slots=True)
class Sought:
    """A text that the query looks for, so that faces can show where it stands: in which texts of a row, and what."""

    attributes: frozenset[str]
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled query. `matches(view, now)` takes UTC epoch seconds; only `since:` looks at them."""

    query: str
    matches: Test
    uses_clock: bool
    """True when a row that matches may stop matching merely because time passes."""
    sought: tuple[Sought, ...] = ()
    """Texts of terms that are not negated."""
    may_match: Test = everything
    """False when no row can match that has this row's names, state and status, whatever else it has."""
    bounds: tuple[Bound, ...] = ()
    """Every row that matches keeps all of them."""

    @property
    def is_empty(self) -> bool:
        """True when every row matches because nothing was asked."""
        return not self.query


def parse(query: str) -> Filter:
    """Compiles a query; an empty one matches every row. Raises FilterError."""
    text = query.strip()
    if not text:
        return Filter("", everything, uses_clock=False)
    if len(query) > QUERY_CAP:
        raise FilterError("the filter is too long", QUERY_CAP, f"at most {QUERY_CAP} characters")
    parser = _Parser(query)
    found = parser.parse()
    return Filter(text, found.test, parser.uses_clock, tuple(parser.sought), found.may, found.bounds)


class _Parser:
    """Recursive descent: `|` binds weakest, then juxtaposition, then `-`, then a term."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._at = 0
        self._depth = 0
        self._is_negated = False
        self.uses_clock = False
        self.sought: list[Sought] = []

    def parse(self) -> Node:
        test = self._alternatives()
        if self._at < len(self._query):
            raise FilterError("this bracket closes nothing", self._at, "remove it or quote it")
        return test

    def _alternatives(self) -> Node:
        tests = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            tests.append(self._sequence())
        return any_of(tests)

    def _sequence(self) -> Node:
        tests: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            tests.append(self._factor())
        if not tests:
            raise FilterError("something is missing here", min(self._at, len(self._query)), "a word or a field")
        return all_of(tests)

    def _factor(self) -> Node:
        char = self._peek()
        start = self._at
        if char in "-!":
            self._at += 1
            if self._at >= len(self._query) or self._query[self._at].isspace():
                raise FilterError(f"nothing follows {char!r}", start, "write it against the term: -state:ok")
            self._is_negated = not self._is_negated
            with_depth = self._nested(start, self._factor)
            self._is_negated = not self._is_negated
            return opposite(with_depth)
        if char == "(":
            self._at += 1
            test = self._nested(start, self._alternatives)
            if self._peek() != ")":
                raise FilterError("this bracket is not closed", start, "add )")
            self._at += 1
            return test
        return self._term()

    def _nested(self, start: int, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_CAP:
            raise FilterError("the filter is nested too deeply", start, f"at most {_DEPTH_CAP} levels")
        test = read()
        self._depth -= 1
        return test

    def _term(self) -> Node:
        start = self._at
        if self._query[start] == "~":
            self._at += 1
            return self._compile(start, _ANY_TEXT, Comparison.REGEX, [self._expression()])
        head = _NAME.match(self._query, start)
        if head is None:
            return self._compile(start, _ANY_TEXT, Comparison.HAS, [self._value()])
        name, operator = head.group(1).lower(), head.group(2)
        field = FIELDS.get(name)
        if field is None:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "put text with a colon in quotes"
            raise FilterError(f"unknown field {name!r}", start, hint)
        self._at = head.end()
        self.uses_clock |= field.uses_clock
        comparison = Comparison(operator.replace(":~", "~"))
        return self._compile(self._at, field, comparison, self._values(field.example))

    def _compile(self, at: int, field: Field, comparison: Comparison, values: list[tuple[str, bool]]) -> Node:
        terms = [Term(comparison, text, is_quoted) for text, is_quoted in values]
        try:
            tests = [leaf(field, term) for term in terms]
        except FieldError as error:
            raise FilterError(error.message, at, error.hint) from None
        if field.attributes and not self._is_negated:
            patterns = [pattern for pattern in map(sought_pattern, terms) if pattern is not None]
            self.sought += [Sought(frozenset(field.attributes), pattern) for pattern in patterns]
        return any_of(tests)

    def _values(self, example: str) -> list[tuple[str, bool]]:
        """A field's value and its alternatives: `429|500`. A `|` before another field starts a new term."""
        if self._at >= len(self._query) or self._query[self._at].isspace():
            raise FilterError("a value is missing", self._at, f"such as {example}")
        values = [self._value()]
        while self._at + 1 < len(self._query) and self._query[self._at] == "|":
            after = self._query[self._at + 1]
            if after.isspace() or after in "-!(~" or _HEAD.match(self._query, self._at + 1):
                break
            self._at += 1
            values.append(self._value())
        return values

    def _expression(self) -> tuple[str, bool]:
        """A regular expression: quoted, or up to the next space; its own brackets and bars belong to it."""
        if self._at < len(self._query) and self._query[self._at] == '"':
            return self._value()
        start, opened = self._at, 0
        while self._at < len(self._query) and not self._query[self._at].isspace():
            char = self._query[self._at]
            opened += (char == "(") - (char == ")")
            if opened < 0 and self._depth:
                break
            self._at += 1
        if self._at == start:
            raise FilterError("a value is missing", start, "an expression such as ~claude.*5")
        return self._query[start : self._at], False

    def _value(self) -> tuple[str, bool]:
        start = self._at
        if start < len(self._query) and self._query[start] == '"':
            end = self._query.find('"', start + 1)
            if end < 0:
                raise FilterError("the quote is not closed", start, 'add "')
            self._at = end + 1
            if end == start + 1:
                raise FilterError("the quotes are empty", start, "put text between them")
            return self._query[start + 1 : end], True
        end = start
        while end < len(self._query) and not self._query[end].isspace() and self._query[end] != "|":
            if self._query[end] == ")" and self._depth:
                break
            end += 1
        if end == start:
            raise FilterError("a value is missing", start, "write text here")
        self._at = end
        return self._query[start:end], False

    def _peek(self) -> str:
        while self._at < len(self._query) and self._query[self._at].isspace():
            self._at += 1
        return self._query[self._at] if self._at < len(self._query) else ""
