"""Medians by model: kept from window to window, believed only where they are numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp.status.latencies import measured_ms, remember
from lsp.status.telemetry import CompletionTiming, LatencyBook


def book(**times: list[float | None]) -> LatencyBook:
    kept = LatencyBook()
    for model, each in times.items():
        for first_ms in each:
            kept.completed(CompletionTiming(model=model, first_ms=first_ms))
    return kept


def test_the_newest_median_of_each_model_stays(tmp_path: Path) -> None:
    assert measured_ms(tmp_path) == {}
    first = book(one=[10, 20, 30, 40, 1_000, None], few=[1, 2, 3, 4]).first_ms_by_model()
    assert remember(first, tmp_path) == {"one": 30}
    second = book(other=[7] * 5).first_ms_by_model()
    assert remember(second, tmp_path) == {"one": 30, "other": 7}
    assert remember(book(one=[5] * 9).first_ms_by_model(), tmp_path) == {"one": 5, "other": 7}
    assert measured_ms(tmp_path) == {"one": 5, "other": 7}
    assert [path.name for path in tmp_path.iterdir()] == ["latencies.json"]


@pytest.mark.parametrize(
    "content", ["", "[1]", "{", "[" * 5_000, '{"a": "b", "c": -1, "d": null}', " " * 99_999]
)
def test_a_file_that_somebody_spoilt(tmp_path: Path, content: str) -> None:
    (tmp_path / "latencies.json").write_text(content, "utf-8")
    assert measured_ms(tmp_path) == {}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = book(one=[10] * 5).first_ms_by_model()
    assert remember(found, tmp_path / "file" / "below") == {"one": 10}
