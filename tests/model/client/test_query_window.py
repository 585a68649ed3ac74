"""What of a question is sent where it is longer than the model reads."""

from __future__ import annotations

from model.client.query_window import windowed_query
from tests.model.queries import CONTEXT, query


class TestWindow:
    LINES = "".join(f"line {number}\n" for number in range(1_000))

    def test_what_fits_is_left_alone(self) -> None:
        asked = query("a", "b", context=CONTEXT)
        assert windowed_query(asked, 100) == asked

    def test_cuts_at_lines_and_near_the_cursor(self) -> None:
        cut = windowed_query(query(self.LINES, self.LINES, context=CONTEXT), 1_000)
        assert len(cut.prefix) <= 750
        assert self.LINES.endswith("\n" + cut.prefix)
        assert len(cut.suffix) <= 250
        assert self.LINES.startswith(cut.suffix)
        assert cut.suffix.endswith("\n")

    def test_a_line_longer_than_the_window_is_cut(self) -> None:
        cut = windowed_query(query("x" * 5_000, "y" * 5_000), 1_000)
        assert 500 < len(cut.prefix) <= 750
        assert len(cut.suffix) == 250

    def test_its_start_stays_while_typing(self) -> None:
        starts = [
            len(self.LINES) + typed - len(windowed_query(query(self.LINES + "x" * typed, ""), 1_000).prefix)
            for typed in range(180)
        ]
        assert len(set(starts)) <= 2

    def test_the_farthest_context_goes_first(self) -> None:
        cut = windowed_query(query("p" * 10, "s" * 10, context=CONTEXT), 20 + len("near.pynear = 2"))
        assert [item.path for item in cut.context] == ["near.py"]
