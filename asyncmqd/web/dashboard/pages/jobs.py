"""Jobs of all queues: one by its id, or those that are like this."""

from __future__ import annotations

from typing import Any

from asyncmqd.admin import jobs, search
from asyncmqd.domain.states import State
from asyncmqd.web.dashboard.pages.queue import FILTERS, PAGE, listed
from asyncmqd.web.dashboard.visit import Moved, Visit, address, job_address


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows. Raises CannotDo, and Moved for an id that only one queue has."""
    query = visit.query
    if id := query.get("id", "").strip():
        found = (await visit.source.read(lambda store: jobs.find(store, [id], None)))[id]
        if len(found) == 1:
            raise Moved(job_address(found[0].queue, id))
        return _page(query, id=id, same=[jobs.job_view(each) for each in found])
    wanted = listed({key: value for key, value in query.items() if key != "queue"})
    state = (wanted.state or State.FAILED,)
    part = await visit.source.read(
        lambda store: search.search(store, wanted.selection, None, state, wanted.after, PAGE)
    )
    return _page(query, found=part, state=str(wanted.state))


def _page(query: dict[str, str], **more: Any) -> dict[str, Any]:
    kept = {each: query.get(each, "") for each in FILTERS}
    found: search.Found | None = more.get("found")
    state = more.get("state", str(State.FAILED))
    after = found.after if found else None
    return {
        "id": more.get("id", ""),
        "same": more.get("same", []),
        "found": found,
        "state": state,
        "tabs": [(each, address("/jobs", state=each, **kept)) for each in map(str, State)],
        "filters": kept,
        "filtered": any(kept.values()),
        "next": address("/jobs", state=state, after=after, **kept) if after else None,
        "first": address("/jobs", state=state, **kept) if query.get("after") else None,
    }
