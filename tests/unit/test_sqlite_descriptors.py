"""No file of a store is opened but by SQLite: closing it would drop the locks of the process.

https://sqlite.org/howtocorrupt.html, 2.2. What else this package opens is named here.
"""

from __future__ import annotations

import ast
from pathlib import Path

from asyncmqd.backends import sqlite

OPENS = {
    "open",
    "fdopen",
    "read_bytes",
    "read_text",
    "write_bytes",
    "write_text",
    "copy",
    "copy2",
    "copyfile",
    "truncate",
}
ALLOWED = {
    ("backup.py", "_flush_names"),  # a directory
    ("clock.py", "boot_id"),  # /proc
    ("creation.py", "_names_another"),  # a journal, which SQLite does not lock
    ("creation.py", "make_empty"),  # a new file that has no name of a store yet
    ("failed_flush.py", "note"),  # a mark that no database has
    ("health.py", "mounts"),  # /proc
    ("log_holders.py", "_named"),  # /proc
    ("log_renewal.py", "_check_log"),  # the log, which SQLite does not lock
    ("sql_statements.py", "read"),  # a part of the program
    ("wake_directory.py", "_make"),  # directories
    ("wake_directory.py", "_open"),  # directories, and O_PATH, which takes no part in locks
    ("wake_directory.py", "_remove"),
    ("wake_directory.py", "socket_in"),
    ("write_order.py", "join"),  # the log, which SQLite does not lock
}


def test_only_sqlite_opens_files_of_a_store() -> None:
    found = set()
    for path in Path(sqlite.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {(path.name, function.name) for each in ast.walk(function) if opens(each)}
    assert found == ALLOWED


def opens(node: ast.AST) -> bool:
    """Whether it is a call of the kernel's open; not of `DatabaseFile.open`."""
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Name(id=name):
            return name in OPENS
        case ast.Attribute(value=owner, attr=name):
            return name in OPENS and ast.unparse(owner) not in {"self.file", "self", "super()"}
    return False
