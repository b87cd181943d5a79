"""The product's own source as parsed files: what tests/arch asks its questions about."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("atp_engine", "atp_console")


@dataclass(frozen=True, eq=False)
class SourceFile:
    """One Python file of the repository."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()

    def place(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        """`path:line`, for the message of a failed test."""
        return f"{self.name}:{node.lineno}"


def read_tree(*folders: str) -> tuple[SourceFile, ...]:
    """Every Python file below the folders, sorted by path."""
    gc.disable()  # hundreds of thousands of nodes that all stay
    try:
        return _read(folders)
    finally:
        gc.freeze()
        gc.enable()


def _read(folders: tuple[str, ...]) -> tuple[SourceFile, ...]:
    files = []
    for path in sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        files.append(SourceFile(path, module, text, ast.parse(text)))
    return tuple(files)


@lru_cache(1_024)
def nodes(file: SourceFile) -> tuple[ast.AST, ...]:
    """Every node of the file, walked once for all questions."""
    return tuple(ast.walk(file.tree))


def imported(file: SourceFile, *, with_types: bool = True) -> Iterator[tuple[str, ast.stmt]]:
    """Every imported module with its statement; `from a import b` gives `a` and `a.b`.

    Without `with_types` what stands under `if TYPE_CHECKING:` is left out.
    """
    skipped: set[ast.AST] = set()
    for node in nodes(file):
        if node in skipped:
            continue
        if isinstance(node, ast.If) and not with_types and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {inner for child in node.body for inner in ast.walk(child)}
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def functions(file: SourceFile) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of the file, nested ones too."""
    for node in nodes(file):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
