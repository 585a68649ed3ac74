"""A small run of the random parts, against the real server and the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.keystrokes import random_keystrokes
from tests.reliability.part import Measure, Part, measured
from tests.reliability.processes import Held
from tests.reliability.random_http import random_bodies
from tests.reliability.random_messages import random_messages

STARTER = Path(__file__).parents[2] / "model" / "starter"
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc"),
    pytest.mark.skipif(not list(STARTER.glob("*.safetensors")), reason="no weights in model/starter"),
]

# How requests take turns is tested by their steps: times would depend on what else the machine does.
SMALL = [(random_messages, 200), (random_bodies, 160), (random_keystrokes, 60)]


@pytest.mark.parametrize(("measure", "count"), SMALL)
async def test_nothing_fails(measure: Measure, count: int) -> None:
    part = await measured(measure, count=count, seed=7)
    assert part.failures == ()
    assert part.half is not None
    assert part.end is not None
    assert part.end.descriptors <= part.half.descriptors + 8


def test_the_figure_tells_what_grew() -> None:
    part = Part(name="x", count=1_000, failures=("a",), half=Held(100, 7), end=Held(103, 8))
    assert part.figure == "1,000 x: 1 failures, memory +3.0% over the last half, descriptors 7 → 8"
