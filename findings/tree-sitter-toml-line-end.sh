#!/usr/bin/env bash
# tree-sitter-toml 0.7.0 finds an error in a valid multi-line string.
#
# TOML 1.0 lets white space stand between the backslash that ends a line and the line's end
# (mlb-escaped-nl = escape ws newline ...). tomllib reads it; the grammar takes it only without the
# white space.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    tree-sitter==0.26.1 tree-sitter-toml==0.7.0
"$folder/venv/bin/python" - <<'PYTHON'
import tomllib
from importlib.metadata import version

import tree_sitter
import tree_sitter_toml

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))


def verdicts(text):
    """Whether tomllib takes it, and whether the grammar does."""
    try:
        tomllib.loads(text)
        valid = True
    except tomllib.TOMLDecodeError:
        valid = False
    return valid, not parser.parse(text.encode()).root_node.has_error


EXPECTED = {
    'a = """\\\n  x"""\n': (True, True),
    'a = """\\ \t\n  x"""\n': (True, False),
}
print(*(f"{name} {version(name)}" for name in ("tree-sitter", "tree-sitter-toml")))
for text, expected in EXPECTED.items():
    seen = verdicts(text)
    print(f"{text!r}: tomllib {seen[0]}, tree-sitter-toml {seen[1]}")
    assert seen == expected, "the behaviour has changed"
PYTHON
