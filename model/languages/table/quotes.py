"""The kinds of strings that many languages share."""

from __future__ import annotations

from model.languages.language import Comment, Interpolation, Quote

SLASHES, HASH, DASHES = Comment("//"), Comment("#"), Comment("--")
BLOCK, NESTED_BLOCK, MARKUP = Comment("/*", "*/"), Comment("/*", "*/", nests=True), Comment("<!--", "-->")
C_COMMENTS, NESTED_COMMENTS = (SLASHES, BLOCK), (SLASHES, NESTED_BLOCK)
# A sign that is part of a word, of `$#` or of a colour begins no comment; nor do a URL's slashes.
HASH_AFTER_SPACE = Comment("#", behind=r"(?<!\S)")
HASH_FIRST = Comment("#", begins_line=True)
SLASHES_BUT_OF_A_URL = Comment("//", behind=r"(?<!:)")

DOLLAR = Interpolation("${")
DOLLARS = (DOLLAR, Interpolation("$", ""))
HASH_BRACE = (Interpolation("#{"),)
PAREN = (Interpolation("$(", ")"),)
FORMAT = (Interpolation("{", literal="{{", has_format=True),)
SHELL = (DOLLAR, Interpolation("$(", ")"), Interpolation("$", ""))

DOUBLE, SINGLE = Quote('"'), Quote("'")
DOUBLE_LINES, SINGLE_LINES = Quote('"', multiline=True), Quote("'", multiline=True)
RAW_DOUBLE, RAW_SINGLE = Quote('"', escape=""), Quote("'", escape="")
RAW_SINGLE_LINES = Quote("'", escape="", multiline=True)
DOUBLED_SINGLE = Quote("'", escape="", doubles=True)
DOUBLED_DOUBLE = Quote('"', escape="", doubles=True)
DOUBLED_SINGLE_LINES = Quote("'", escape="", doubles=True, multiline=True)
DOUBLED_DOUBLE_LINES = Quote('"', escape="", doubles=True, multiline=True)
TRIPLE_DOUBLE, TRIPLE_SINGLE = Quote('"""', multiline=True), Quote("'''", multiline=True)
RAW_BACKTICK = Quote("`", escape="", multiline=True)
BACKTICK = Quote("`", multiline=True)
TEMPLATE = Quote("`", multiline=True, interpolations=(DOLLAR,))
