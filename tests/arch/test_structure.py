"""What the import linter cannot see: reachability, hidden state, clocks in pure rooms, sizes, names.

Every rule is from the design and has no list of exceptions.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator

from tests.support.source_tree import PACKAGES, ROOT, SourceFile, functions, imported, nodes, read_tree

PRODUCT = read_tree(*PACKAGES)
TESTS = read_tree("tests")
ENTRIES = ("atp_console.cli", "atp_console.__main__", "atp_engine.engine")
PURE = tuple(f"atp_engine.{room}" for room in ("core", "dialects", "routing", "limits"))
IMPURE = {
    "asyncio", "threading", "concurrent", "multiprocessing", "subprocess", "selectors", "socket", "ssl", "http",
    "urllib.request", "os", "pathlib", "io", "tempfile", "shutil", "sqlite3", "time", "random", "secrets", "uuid",
    "aiohttp", "httptools", "starlette", "uvicorn", "uvloop", "diskcache", "sqlite_utils", "watchdog",
}  # fmt: skip
IMPURE_CALLS = {"open", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "input", "print"}
STATE = {"dict", "list", "set", "OrderedDict", "defaultdict", "deque", "Counter", "count", "ContextVar", "Lock",
         "RLock", "Event", "Queue", "Semaphore", "WeakValueDictionary", "WeakKeyDictionary", "Random"}  # fmt: skip
NOT_IN_NAMES = re.compile(r"manager|util|helper|enhanced|advanced|(?:^|_)(?:data|info|v2)(?:_|$)")


def test_every_module_is_reachable_from_an_entry_point() -> None:
    by_module = {file.module: file for file in PRODUCT}
    reached: set[str] = set()
    waiting = list(ENTRIES)
    while waiting:
        module = waiting.pop()
        if module in reached or module not in by_module:
            continue
        reached.add(module)
        waiting.extend(name for name, _ in imported(by_module[module], with_types=False))
        waiting.append(module.rpartition(".")[0])  # a module brings its packages
    assert {"atp_console.cli", "atp_engine.engine"} <= by_module.keys()
    unreached = sorted(by_module.keys() - reached)
    assert not unreached, "\n".join(unreached)


def test_no_function_rebinds_a_module_name() -> None:
    found = [file.place(node) for file in PRODUCT for node in nodes(file) if isinstance(node, ast.Global)]
    assert not found, "\n".join(found)


def module_bindings(file: SourceFile) -> Iterator[tuple[str, ast.expr, ast.stmt]]:
    for node in file.tree.body:
        if isinstance(node, ast.Assign):
            yield from ((ast.unparse(target), node.value, node) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield ast.unparse(node.target), node.value, node


def is_state(name: str, value: ast.expr) -> bool:
    """True for a lower-case instance and for anything that is empty at the start and so meant to change."""
    if isinstance(value, (ast.Dict, ast.List, ast.Set)) and name != "__all__":
        return not (value.keys if isinstance(value, ast.Dict) else value.elts)
    if not isinstance(value, ast.Call):
        return False
    called = ast.unparse(value.func)
    if called == "logging.getLogger":
        return False
    if called.rpartition(".")[2] in STATE:
        return called not in ("dict", "list", "set") or not value.args
    is_constant = name.isupper()
    is_type = name.lstrip("_")[:1].isupper()
    return not (is_constant or is_type)


def test_modules_hold_constants_and_loggers_but_no_instances() -> None:
    found = [
        f"{file.place(node)} {name}"
        for file in PRODUCT
        for name, value, node in module_bindings(file)
        if is_state(name, value)
    ]
    assert not found, "\n".join(found)


def test_the_environment_is_read_in_one_file() -> None:
    reading = re.compile(r"\b(?:os\.environb?|os\.getenvb?|os\.putenv|environ)\b")
    found = [
        file.place(node)
        for file in PRODUCT
        if file.module != "atp_engine.config.load"
        for node in nodes(file)
        if (isinstance(node, ast.Attribute) and reading.fullmatch(ast.unparse(node)))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and "environ" in {a.name for a in node.names})
    ]
    assert not found, "\n".join(found)


def test_pure_rooms_import_nothing_impure_and_read_no_clock() -> None:
    pure = [file for file in PRODUCT if file.module.startswith(PURE)]
    imports = [
        f"{file.place(node)} {name}"
        for file in pure
        for name, node in imported(file)
        if name in IMPURE or name.split(".")[0] in IMPURE
    ]
    calls = [
        f"{file.place(node)} {ast.unparse(node.func)}"
        for file in pure
        for node in nodes(file)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS
    ]
    assert not imports + calls, "\n".join(imports + calls)


def test_imports_are_absolute_and_at_the_top() -> None:
    relative = [
        file.place(node)
        for file in (*PRODUCT, *TESTS)
        for node in nodes(file)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    deferred = [
        file.place(node)
        for file in PRODUCT
        if file.module != "atp_console.cli"
        for function in functions(file)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not relative + deferred, "\n".join(relative + deferred)


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    files = {file.name: length for file in PRODUCT if (length := file.text.count("\n")) > 450}
    long_functions = {
        f"{file.place(node)} {node.name}": length
        for file in PRODUCT
        for node in functions(file)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > 70
    }
    too_long = {**files, **long_functions}
    assert not too_long, "\n".join(f"{name}: {length}" for name, length in too_long.items())


def test_every_module_says_what_it_is_for() -> None:
    found = [file.name for file in PRODUCT if file.text.strip() and not ast.get_docstring(file.tree)]
    assert not found, "\n".join(found)


def test_names_say_what_a_thing_is() -> None:
    modules = [file.name for file in PRODUCT if NOT_IN_NAMES.search(file.path.stem)]
    classes = [
        f"{file.place(node)} {node.name}"
        for file in PRODUCT
        for node in nodes(file)
        if isinstance(node, ast.ClassDef) and NOT_IN_NAMES.search(re.sub(r"(?<!^)(?=[A-Z])", "_", node.name).lower())
    ]
    assert not modules + classes, "\n".join(modules + classes)


def test_a_broad_except_logs_or_passes_on_what_it_caught() -> None:
    found = []
    for file in PRODUCT:
        for node in nodes(file):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if not re.search(r"\b(?:Exception|BaseException)\b", caught):
                continue
            body = "\n".join(ast.unparse(statement) for statement in node.body)
            is_passed_on = node.name is not None and re.search(rf"\b{node.name}\b", body)
            if not is_passed_on and not re.search(r"\braise\b|\b_?log\b", body):
                found.append(file.place(node))
    assert not found, "\n".join(found)


def test_the_declared_dependencies_are_what_the_product_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^A-Za-z0-9_-]", text)[0].replace("-", "_").lower() for text in project["dependencies"]}
    used = {name.split(".")[0].lower() for file in PRODUCT for name, _ in imported(file)}
    third_party = used - {name.lower() for name in sys.stdlib_module_names} - set(PACKAGES)
    brought_by = {"pydantic_core": "pydantic", "rich": "textual", "yarl": "aiohttp", "yaml": "pyyaml"}
    needed = {brought_by.get(name, name) for name in third_party}
    assert needed == declared
