"""Where a function ends in a language of braces: the end of a model's answer to HumanEval-X.

An answer begins within the function's braces. Knows strings and comments as Java, JavaScript and C++ have
them, and no more of their grammar: a quote within a regular expression is taken for a string's, which ends
with its line at the latest.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""//[^\n]* | /\*.*?(?:\*/|\Z)         # comments
    | "(?:[^"\\\n]|\\.)*["\n]? | '(?:[^'\\\n]|\\.)*['\n]?  # strings and characters
    | `(?:[^`\\]|\\.)*`?                    # JavaScript's templates
    | [{}]""",
    re.VERBOSE | re.DOTALL,
)


def function_end(text: str) -> int | None:
    """The place behind the brace that closes the function which `text` begins in; None if none does."""
    depth = 1
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return None
