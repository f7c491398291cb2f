"""Shared by all tests: how hard Hypothesis tries.

`push` is the same at every run, so that nobody's push fails by chance. `nightly` looks further:
`pytest --hypothesis-profile=nightly`, or HYPOTHESIS_PROFILE=nightly in the environment.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "push",
    max_examples=60,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    max_examples=2_000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "push"))
