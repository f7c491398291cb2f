"""An edit of a page, as a web application has it.

`ASYNCMQD_BACKEND=sqlite:///tmp/search_index.db python -m search_index.edit PAGE TEXT...`
"""

from __future__ import annotations

import sys

from search_index.tasks import index_later


def save(page: str, text: str) -> str:
    """Have the page indexed; what became of the job."""
    job = index_later.enqueue_sync(page, text)
    return "pushed" if job.replaced else "queued"


if __name__ == "__main__":
    print(save(sys.argv[1], " ".join(sys.argv[2:])))
