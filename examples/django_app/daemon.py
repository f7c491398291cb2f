"""What the daemon imports: Django set up before any model, and what is round each job."""

from __future__ import annotations

import os
from collections.abc import Iterator

import django
from django.db import close_old_connections

from asyncmqd import JobRun, around_run

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_app.settings")
django.setup()


@around_run
def database(run: JobRun) -> Iterator[None]:
    """As Django does around a request."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()  # also one whose transaction the job left open: rolled back


import django_app.tasks  # noqa: E402, F401 - it needs Django to be set up
