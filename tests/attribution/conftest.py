"""Settings of the attribution tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long one example takes says nothing on a machine that does other work too.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
