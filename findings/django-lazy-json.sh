#!/usr/bin/env bash
# Django 5.2.19: json calls a lazy integer of Django's "int", and says that int is not serializable.
#
# A SimpleLazyObject (request.user is one) gives out the class of what it stands for: isinstance says
# that it is an int, and it equals it. json and msgspec go by type() and refuse it, json with the words
# "Object of type int is not JSON serializable". Django's own encoder, which knows lazy translations,
# refuses it as well. So a check by isinstance lets pass what the encoder refuses afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.19 msgspec==0.22.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
from importlib.metadata import version

import msgspec
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import SimpleLazyObject

ENCODERS = {
    "json": json.dumps,
    "DjangoJSONEncoder": lambda value: json.dumps(value, cls=DjangoJSONEncoder),
    "msgspec": msgspec.json.encode,
}
JSON_SAYS = "Object of type {} is not JSON serializable"

print(*(f"{name} {version(name)}" for name in ("Django", "msgspec")))
for value in (5, [1], {"a": 1}):
    lazy, name = SimpleLazyObject(lambda: value), type(value).__name__
    assert isinstance(lazy, type(value))
    assert lazy == value
    for encoder, encode in ENCODERS.items():
        encode(value)
        try:
            encode(lazy)
        except TypeError as error:
            print(f"a lazy {value!r}: isinstance says {name}; {encoder}: {error}")
            if encoder != "msgspec":
                assert str(error) == JSON_SAYS.format(name), f"{encoder}: the behaviour has changed"
        else:
            raise AssertionError(f"{encoder}: the behaviour has changed")
PYTHON
