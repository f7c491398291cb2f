"""Look a word up in the index: `python -m dropfolder.search WORD`."""

from __future__ import annotations

import sys

from dropfolder import catalog

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dropfolder.search WORD")
    found = catalog.find(sys.argv[1])
    for name, count in found[:20]:
        print(f"{count:6}  {name}")
    if len(found) > 20:
        print(f"  ... and {len(found) - 20} files more")
    sys.exit(0 if found else f"{sys.argv[1]}: in no file")
