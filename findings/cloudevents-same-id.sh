#!/usr/bin/env bash
# cloudevents 2.2.0 of PyPI: two events that are made from one dict of attributes have the same id and time.
#
# An event without an id gets one, and it is written into the caller's dict, which the event keeps. The next
# event from that dict finds the id there: receivers, who tell events apart by source and id, take it for
# the same event once more. A change of the dict also changes events that were made before. The older
# interface of the package (cloudevents.v1) copies the dict, and gives each event an id of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import CloudEvent as OlderCloudEvent

attributes = {"type": "order", "source": "/shop"}
older = [OlderCloudEvent(attributes, {"number": number})["id"] for number in (1, 2)]
assert attributes == {"type": "order", "source": "/shop"}
events = [CloudEvent(attributes, {"number": number}) for number in (1, 2)]
print("cloudevents", version("cloudevents"))
for event in events:
    print(event.get_data(), event.get_id(), event.get_time())
print("the dict now has", *attributes)
assert older[0] != older[1]
assert events[0].get_id() == events[1].get_id() == attributes["id"], "the behaviour has changed"
assert events[0].get_time() == events[1].get_time(), "the behaviour has changed"
PYTHON
