"""A page is indexed once nobody has edited it for a moment, and not at each edit."""

from __future__ import annotations

import json
import os
from pathlib import Path

from asyncmqd import task

INDEX = Path(os.environ.get("SEARCH_INDEX", "/tmp/search_index.json"))
QUIET = "5s"  # nobody has edited the page for so long
AT_MOST = "1m"  # somebody edits it all the time: it is indexed all the same


@task(queue="search", unique="page", on_conflict="push", push_for=AT_MOST)
def index(page: str, text: str) -> list[str]:
    """Put the words of a page into the index."""
    known = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    words = known[page] = sorted(set(text.lower().split()))
    INDEX.write_text(json.dumps(known))
    return words


index_later = index.options(delay=QUIET)
