"""Orders are taken at once and confirmed by a job: `uvicorn fastapi_app.app:app`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException

from asyncmqd import Job, JobFailed, JobGone
from fastapi_app.tasks import confirm

app = FastAPI()


@app.post("/orders", status_code=202)
async def place(item: str) -> dict[str, str]:
    job = await confirm.enqueue(item)
    return {"job": job.ref}


@app.get("/jobs/{ref}")
async def show(ref: str) -> dict[str, Any]:
    try:
        job = Job.from_ref(ref)
        return {"state": "completed", "result": await job.result(timeout=0)}
    except TimeoutError:
        return {"state": await job.state()}
    except JobFailed as error:
        return {"state": error.state, "error": str(error)}
    except (JobGone, ValueError):
        raise HTTPException(404) from None
