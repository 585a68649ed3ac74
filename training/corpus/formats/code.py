"""Tags of a source file: `<reponame>R<filename>F<gh_stars>S\\ncode`, each with its own probability.

The newline stands there only when a tag does. Packing decides by a document's own random numbers,
so that the same corpus can be packed with other rates (arXiv 2305.06161, §5.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from training.corpus.formats.marked import MarkedText

REPONAME = "<reponame>"
FILENAME = "<filename>"
GH_STARS = "<gh_stars>"
TAG_RATE = 0.2
# (up to so many stars, the bin's name)
_STAR_BINS = ((0, "0"), (10, "1-10"), (100, "10-100"), (1000, "100-1000"))


def star_bin(stars: int | None) -> str:
    """The bin of a number of stars; nobody's star is 0."""
    return next((name for most, name in _STAR_BINS if (stars or 0) <= most), "1000+")


def tags(repository: str, path: str, stars: int | None, coins: Sequence[bool]) -> MarkedText:
    """The head of a document: the tags whose coin (repository, path, stars) is true, and a newline."""
    marked = MarkedText()
    values = ((REPONAME, repository), (FILENAME, path), (GH_STARS, star_bin(stars)))
    for coin, (tag, value) in zip(coins, values, strict=True):
        if coin:
            marked.token(tag).plain(value)
    return marked.plain("\n") if any(coins) else marked
