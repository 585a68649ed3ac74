"""Files as training texts."""

from __future__ import annotations

import pytest

from training.corpus.formats.code import star_bin, tags
from training.corpus.formats.marked import MarkedText, segments


@pytest.mark.parametrize(
    ("stars", "name"),
    [
        *((None, "0"), (0, "0"), (1, "1-10"), (10, "1-10"), (11, "10-100"), (100, "10-100")),
        *((101, "100-1000"), (1000, "100-1000"), (1001, "1000+")),
    ],
)
def test_star_bins(stars: int | None, name: str) -> None:
    assert star_bin(stars) == name


def test_tags_stand_in_their_order_and_the_newline_only_after_a_tag() -> None:
    assert tags("o/r", "a.py", 12, (True, True, True)).text == "<reponame>o/r<filename>a.py<gh_stars>10-100\n"
    assert tags("o/r", "a.py", None, (False, True, False)).text == "<filename>a.py\n"
    assert tags("o/r", "a.py", 5, (False, False, False)).text == ""


def test_letters_of_a_token_in_a_text_are_ordinary() -> None:
    text = MarkedText().token("<issue_start>").plain("a <issue_start> b").token("<issue_closed>")
    pieces = list(segments(text.text, text.special))
    assert [(piece.text, piece.is_token) for piece in pieces] == [
        ("<issue_start>", True),
        ("a <issue_start> b", False),
        ("<issue_closed>", True),
    ]
