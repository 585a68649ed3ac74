"""How a language of tags is read: HTML, XML and templates, with the code that is embedded in them.

The inside of an element is TEXT but for a script's or a style's, and code stands between the signs
of a template (`{{ }}`, `<?php ?>`). Knows which tags are open, not which HTML closes by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from model.languages.code import CodeModes
from model.languages.elements import TAG_NAME, close_element, tag_grammar, until
from model.languages.language import Language, Markup, Part
from model.languages.run import Grammar, LexerRun, Mode, Token, TokenAction, compiled, opening, token_of
from model.languages.state import LexerState, Open, Scope

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"}
_VOID |= {"source", "track", "wbr"}
_CODE_OF = {"script": "javascript", "style": "css"}
# What a script's or a style's tag says of its language, and its id here; "" for text.
_SAYS = r"""\b(?:lang|type)\s*=\s*["']?(?:text/)?([\w-]+)"""
_IDS = {
    "ts": "typescript",
    "typescript": "typescript",
    "tsx": "typescriptreact",
    "jsx": "javascriptreact",
    "scss": "scss",
    "sass": "scss",
    "less": "less",
    "stylus": "scss",
    **dict.fromkeys(("template", "html", "x-template", "x-handlebars-template"), ""),
}
_ANY_TAG = r"<(/?)([A-Za-z!?][\w-]*)"


class TagModes:
    """The modes of one language of tags. `code_of` makes those of a language's code, by its id."""

    def __init__(
        self, markup: Markup, language: Language, code_of: Callable[[str, tuple[Token, ...]], CodeModes]
    ) -> None:
        self._markup = markup
        self._language = language
        self._code_of = code_of
        self._parts = [(part, self._part_mode(part)) for part in markup.parts]
        self._embedded: dict[tuple[str, str], Mode] = {}
        self.text = Mode(self._text_grammar, language=language)
        self._tag = Mode(lambda: tag_grammar(self._part_tokens(), self._open_element))
        self._end_tag = Mode(lambda: tag_grammar([], close_element))

    @property
    def ground(self) -> Mode:
        """How a text is read that nothing is known of."""
        return self._parts[0][1] if self._markup.starts_in_code else self.text

    def start(self, text: str) -> LexerState:
        """What a text is in where it begins, which may be in the middle of a file."""
        if self._markup.starts_in_code:
            in_text = text.lstrip().startswith("<")
            return LexerState((Open(Scope.TEXT, "", "", 0, self.text),)) if in_text else LexerState()
        if not self._markup.is_html:
            return LexerState()
        # The first script or style that begins or ends shows whether the text begins in one.
        for tag in compiled(_ANY_TAG).finditer(text):
            name = tag[2].lower()
            if name in _CODE_OF:
                opener = Open(Scope.ELEMENT, f"<{name}", f"</{name}>", 0, self._code_in(name, ""))
                return LexerState((opener,)) if tag[1] else LexerState()
        return LexerState()

    def _text_grammar(self) -> Grammar:
        comments = [
            token_of(each.start, until(each.end, Scope.COMMENT)) for each in self._language.read_comments
        ]
        return Grammar(
            [
                *comments,
                *self._part_tokens(),
                Token(r"<!\[CDATA\[", "<", until("]]>", Scope.STRING)),
                Token(r"<\?(?=\w)", "<", until("?>", Scope.TAG)),
                Token(f"</(?:{TAG_NAME})?", "<", opening(Scope.TAG, ">", self._end_tag)),
                Token(f"<(?:!?{TAG_NAME}|\\Z)", "<", opening(Scope.TAG, ">", self._tag)),
            ]
        )

    def _open_element(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        """The `>` of a tag: its element begins."""
        tag = run.stack[-1]
        name = tag.opener[1:]
        run.pop_to(len(run.stack) - 1, start)
        if name.startswith("!") or (self._markup.is_html and name.lower() in _VOID):
            return
        mode = self.text
        if self._markup.is_html and name.lower() in _CODE_OF:
            # Of a tag that began in another part of the text, only the name is known.
            is_here = run.text.startswith(tag.opener, tag.start_char)
            mode = self._code_in(name.lower(), run.text[tag.start_char : start] if is_here else "")
        run.push(Scope.ELEMENT, f"</{name}>", run.at, mode, tag.opener)

    # Scripts and styles

    def _code_in(self, name: str, tag: str) -> Mode:
        said = compiled(_SAYS).search(tag)
        language_id = _IDS.get(said[1].lower(), _CODE_OF[name]) if said else _CODE_OF[name]
        if not language_id:
            return self.text
        if (name, language_id) not in self._embedded:
            end = Token(rf"(?i:</{name}\b)", "<", self._end_code)
            self._embedded[name, language_id] = self._code_of(language_id, (end,)).code
        return self._embedded[name, language_id]

    def _end_code(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        """`</script`, even where the code is not complete."""
        depth = run.find(Scope.ELEMENT)
        if depth is None:
            return
        end = run.at
        if depth + 1 < len(run.stack):
            run.give_up(depth + 1, start)
        run.at = end
        run.push(Scope.TAG, ">", start, self._end_tag)

    # Parts

    def _part_mode(self, part: Part) -> Mode:
        # A single brace ends its part as it ends any bracket.
        end = () if part.end == "}" else (token_of(part.end, self._end_part),)
        return self._code_of(part.language_id, end).code

    def _part_tokens(self) -> list[Token]:
        return [token_of(part.start, self._open_part(part, mode)) for part, mode in self._parts]

    def _open_part(self, part: Part, mode: Mode) -> TokenAction:
        return opening(Scope.INTERPOLATION, "" if part.is_loose else part.end, mode)

    def _end_part(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        depth = run.find(Scope.INTERPOLATION)
        if depth is None:
            run.push(Scope.TEXT, "", start, self.text)  # of code that began before the text did
        elif run.text[start] == "}" and any(one.opener == "{" for one in run.stack[depth + 1 :]):
            run.at = start + 1
            run.close("}", start)  # two brackets of the code
        else:
            run.pop_to(depth, start)
