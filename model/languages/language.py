"""What is said of one language: its names, comments, strings, brackets and blocks.

Only the words that `model.languages.table` is written in. How text is read by them is
`model.languages.code`'s and `model.languages.tags`' business.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SyntaxFamily = Literal["python", "script", "c"]
"""Languages whose brackets are certain enough to cut text by, and whose density was measured."""

Blocks = Literal["indentation", "braces", "words", "tags", "brackets", "none"]
"""What shows where a block ends; words are `end`, `fi` and the like, brackets those of Lisp."""

Characters = Literal["string", "literal", "lifetime"]
"""What a single `'` is: a quote like others; 'c' or nothing; or a name or list that never ends: 'a."""

Generics = Literal["none", "types", "calls", "c++"]
"""Where `<` opens a bracket: after a type's name; after any name if a type follows; as in C++."""


class Comment(NamedTuple):
    """What begins a comment, and what ends it; "" if its line does.

    `behind` and `ahead` are patterns of no width that must hold around `start`. With `begins_line`
    only white space may stand before it on its line. An `end` of several lines stands at the margin.
    """

    start: str
    end: str = ""
    nests: bool = False
    behind: str = ""
    ahead: str = ""
    begins_line: bool = False


class Interpolation(NamedTuple):
    """Code within a string. `literal` stands for the sign itself; `has_format`: `:` ends the code.

    Without an `end` it is one name, as in `$x`, and needs no closing.
    """

    start: str
    end: str = "}"
    literal: str = ""
    has_format: bool = False


class Quote(NamedTuple):
    """A kind of string.

    `start` is the delimiter; with `is_pattern` a regular expression, whose group `d` stands for
    `{}` in `end` (a bracket there means its counterpart, and nests). `prefixes` are words of which
    one must stand directly before, in either case. `escape` is a sign that takes the next one's
    meaning away; `doubles`: two closing delimiters stand for one. `parts`: 2 in s/one/two/.
    """

    start: str
    end: str = ""
    is_pattern: bool = False
    first: str = ""  # the signs a pattern may begin with
    prefixes: str = ""
    escape: str = "\\"
    doubles: bool = False
    multiline: bool = False
    interpolations: tuple[Interpolation, ...] = ()
    parts: int = 1


class Heredoc(NamedTuple):
    """Text from the next line on to a line with the mark that the group `mark` of `start` names.

    Without such a group the text goes on as long as its lines are deeper than the one it begins in.
    """

    start: str
    interpolations: tuple[Interpolation, ...] = ()


class Part(NamedTuple):
    """Code that stands in text, between `{{` and `}}` and the like. What is `loose` need not be closed."""

    start: str
    end: str
    language_id: str
    is_loose: bool = False


class Markup(NamedTuple):
    """A language of tags. HTML has void elements, and code in <script> and <style>."""

    is_html: bool = True
    parts: tuple[Part, ...] = ()
    starts_in_code: bool = False  # where a text does not begin with a tag


class Language(NamedTuple):
    """One language, or several that look the same. Lists of words are strings with blanks between them.

    `ids` are the editors', `files` whole file names; both and `extensions` are in lower case.
    `comment` is the one to write, `comments` are all that are read (None: the one). `value_behind`
    is a pattern of what stands before a value, where quotes and brackets count only there.

    A named tuple and not a dataclass, which takes 1.5 ms to define: the server's start imports this.
    """

    name: str
    ids: str = ""
    extensions: str = ""
    files: str = ""
    comment: Comment | None = None
    comments: tuple[Comment, ...] | None = None
    quotes: tuple[Quote, ...] = ()
    characters: Characters = "string"
    heredoc: Heredoc | None = None
    brackets: str = "()[]{}"
    value_behind: str = ""
    generics: Generics = "none"
    has_regex: bool = False
    has_jsx: bool = False
    escapes_in_code: bool = False  # a backslash outside of strings takes the next sign's meaning away
    character_sign: str = ""  # `?` where ?( is a character
    markup: Markup | None = None
    is_prose: bool = False  # brackets and quotes are mostly text
    blocks: Blocks = "braces"
    indent: str = "    "  # one level, where the file does not say
    family: SyntaxFamily | None = None

    @property
    def read_comments(self) -> tuple[Comment, ...]:
        """The comments to be read."""
        if self.comments is not None:
            return self.comments
        return () if self.comment is None else (self.comment,)


def alike(language: Language, *others: tuple[str, str, str]) -> tuple[Language, ...]:
    """A language, and others that look the same: (name, ids, extensions) of each."""
    copies = (language._replace(name=name, ids=ids, extensions=ends, files="") for name, ids, ends in others)
    return language, *copies
