#!/usr/bin/env bash
# SQLite 3.40 (apsw 3.40.0.0): PRAGMA integrity_check finds a NULL in a sound table that has none.
#
# The table is WITHOUT ROWID, and in its declaration a column of its primary key stands behind a NOT NULL
# column that is not part of the key. The check says "NULL value in t.c", though no row has one and all
# queries answer right: who looks at backups by it takes a sound file for a damaged one. SQLite 3.46 (apsw
# 3.46.1.0) says ok to the same table. Debian 12 has 3.40.1, which does as 3.40.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 3.40.0.0 3.46.1.0; do
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "apsw==$version"
  "$folder/venv/bin/python" - <<'PYTHON'
import apsw

version = getattr(apsw, "sqlite_lib_version", None) or apsw.sqlitelibversion
store = apsw.Connection(":memory:").cursor()
store.execute("CREATE TABLE t (a TEXT NOT NULL, c TEXT NOT NULL, s INTEGER NOT NULL,"
              " PRIMARY KEY (a, s)) WITHOUT ROWID")
store.execute("CREATE UNIQUE INDEX i ON t (a, c)")
store.execute("INSERT INTO t VALUES ('a', 'c', 1)")
said = store.execute("PRAGMA integrity_check").fetchall()
nulls = store.execute("SELECT count(*) FROM t WHERE c IS NULL").fetchall()
print("SQLite", version(), "integrity_check:", said, "rows with NULL:", nulls)
assert nulls == [(0,)]
wanted = "NULL value in t.c" if version().startswith("3.40.") else "ok"
assert said == [(wanted,)], f"the behaviour has changed: expected {wanted!r}"
PYTHON
done
