"""Applications of FastAPI. Who needs them imports this late: it takes half a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.testclient import TestClient


def in_background(call: Callable[..., Any]) -> TestClient:
    """An application that calls it after its answer."""
    app = FastAPI()

    @app.get("/")
    async def order(background: BackgroundTasks) -> None:
        background.add_task(call, 7)

    return TestClient(app)


def in_all_places(note: Any, plain: Any) -> TestClient:
    """An application that has tasks for its handlers, for a dependency and in the background."""
    app = FastAPI()
    app.get("/note")(note)
    app.get("/plain")(plain)

    @app.get("/depends")
    async def depends(background: BackgroundTasks, given: int = Depends(note)) -> int:
        background.add_task(note, 9)
        return given

    return TestClient(app)
