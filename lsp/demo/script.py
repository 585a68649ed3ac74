"""The demo's file, and what is typed into it.

In the shipped text, ⟦ and ⟧ enclose what is typed. All other text is in the file from the start, as if
somebody edited it in its middle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

FILE_NAME = "shopping_cart.py"
_MARKED = re.compile("⟦(.*?)⟧", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Text to type at one place of the file, and the file's text from there to the next place."""

    typed: str
    until_next: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """A file's beginning, and the scenes in their order."""

    opening: str
    scenes: tuple[Scene, ...]

    @classmethod
    def parse(cls, marked: str) -> Script:
        """Read a text with marks."""
        opening, *rest = _MARKED.split(marked)
        scenes = zip(rest[::2], rest[1::2], strict=True)
        return cls(
            opening=opening, scenes=tuple(Scene(typed=typed, until_next=text) for typed, text in scenes)
        )

    @property
    def text(self) -> str:
        """The file as it is opened: nothing has been typed."""
        return self.opening + "".join(scene.until_next for scene in self.scenes)


def shipped_script() -> Script:
    """The script that comes with the package."""
    return Script.parse(
        resources.files(__package__).joinpath("shopping_cart.txt").read_text(encoding="utf-8")
    )
