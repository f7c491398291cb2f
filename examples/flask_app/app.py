"""Orders are taken at once and confirmed by a job: `flask --app flask_app.app run`."""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, request

from asyncmqd import Job, JobFailed, JobGone
from flask_app.tasks import confirm

app = Flask(__name__)


@app.post("/orders")
def place() -> tuple[dict[str, str], int]:
    job = confirm.enqueue_sync(request.form["item"])
    return {"job": job.ref}, 202


@app.get("/jobs/<ref>")
def show(ref: str) -> dict[str, Any]:
    try:
        job = Job.from_ref(ref)
        return {"state": "completed", "result": job.result_sync(timeout=0)}
    except TimeoutError:
        return {"state": job.state_sync()}
    except JobFailed as error:
        return {"state": error.state, "error": str(error)}
    except (JobGone, ValueError):
        abort(404)
