#!/usr/bin/env bash
# sentry-sdk 2.75.0 imports eventlet where it is installed, though nobody uses it.
#
# `import sentry_sdk` asks eventlet whether it has patched threads, and the question imports it. eventlet
# 0.41.3 then warns that it is deprecated (an error under `-W error`: the import of sentry_sdk fails) and
# leaves a hook that warns at each os.fork of the process for the rest of its life.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python
install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
install sentry-sdk==2.75.0
"$python" -W error -c 'import sentry_sdk'
echo "sentry-sdk alone: no warning"
install eventlet==0.41.3 greenlet==3.5.6
"$python" - <<'PYTHON'
import os
import sys
import warnings
from importlib.metadata import version

print(*(f"{name} {version(name)}" for name in ("sentry-sdk", "eventlet")))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import sentry_sdk

    by_import = [warning.category.__name__ for warning in seen]
    seen.clear()
    for _ in range(2):
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)
    by_fork = [str(warning.message).partition(",")[0] for warning in seen
               if "eventlet" in str(warning.message)]
print("eventlet imported:", "eventlet" in sys.modules, "by", sentry_sdk.__name__)
print("warnings of the import:", by_import)
print("warnings of two forks:", by_fork)
assert "eventlet" in sys.modules, "the behaviour has changed"
assert "EventletDeprecationWarning" in by_import, "the behaviour has changed"
assert len(by_fork) == 2, "the behaviour has changed"
PYTHON
if "$python" -W error -c 'import sentry_sdk' 2>"$folder/error"; then
    echo "import under -W error: the behaviour has changed"
    exit 1
fi
grep -m 1 '^eventlet.*Warning' "$folder/error" | sed 's/^/import under -W error: /'
