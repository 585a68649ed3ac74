"""Languages of functions and of logic, provers, and Lisps."""

from __future__ import annotations

from model.languages.language import Comment, Language, Quote, alike
from model.languages.table.quotes import (
    BLOCK,
    C_COMMENTS,
    DASHES,
    DOUBLE,
    DOUBLE_LINES,
    FORMAT,
    SLASHES,
    TRIPLE_DOUBLE,
)

_DASH_BLOCK = Comment("{-", "-}", nests=True)
_PAREN_BLOCK = Comment("(*", "*)", nests=True)
_SEMICOLON = Comment(";")
_BAR_BLOCK = Comment("#|", "|#", nests=True)

FUNCTIONAL = (
    Language(
        name="Haskell",
        ids="haskell",
        extensions="hs hsc",
        comment=DASHES,
        comments=(_DASH_BLOCK, Comment("--", ahead=r"-*(?![!#$%&*+./<=>?@\\^|~:-])")),
        quotes=(DOUBLE,),
        characters="lifetime",  # 'c', and foldl'
        blocks="indentation",
    ),
    *alike(
        Language(
            name="Elm",
            ids="elm",
            extensions="elm",
            comment=DASHES,
            comments=(_DASH_BLOCK, DASHES),
            quotes=(TRIPLE_DOUBLE, DOUBLE),
            characters="lifetime",
            blocks="indentation",
        ),
        ("PureScript", "purescript", "purs"),
        ("Agda", "agda", "agda"),
        ("Idris", "idris", "idr"),
    ),
    *alike(
        Language(
            name="OCaml",
            ids="ocaml",
            extensions="ml mli ml4 mll mly eliom eliomi",
            comment=Comment("(*", "*)"),
            comments=(_PAREN_BLOCK,),
            quotes=(
                Quote(r"\{(?P<d>[a-z_]*)\|", "|{}}", is_pattern=True, first="{", escape="", multiline=True),
                DOUBLE_LINES,
            ),
            characters="lifetime",
            indent="  ",
            blocks="indentation",
        ),
        ("Coq", "coq", "coq"),
    ),
    Language(
        name="Standard ML",
        ids="standard-ml sml",
        extensions="sml sig fun",
        comment=Comment("(*", "*)"),
        comments=(_PAREN_BLOCK,),
        quotes=(DOUBLE_LINES,),
        characters="lifetime",
        blocks="indentation",
        indent="  ",
    ),
    Language(
        name="F#",
        ids="fsharp",
        extensions="fs fsi fsx",
        comment=SLASHES,
        comments=(SLASHES, _PAREN_BLOCK),
        quotes=(
            Quote('$"""', '"""', escape="", multiline=True, interpolations=FORMAT),
            Quote('"""', escape="", multiline=True),
            Quote('@"', '"', escape="", doubles=True, multiline=True),
            Quote('$"', '"', multiline=True, interpolations=FORMAT),
            DOUBLE_LINES,
        ),
        characters="lifetime",
        blocks="indentation",
    ),
    Language(
        name="Erlang",
        ids="erlang",
        extensions="erl hrl escript yrl xrl",
        comment=Comment("%"),
        quotes=(DOUBLE_LINES, Quote("'")),
        character_sign="$",
        escapes_in_code=True,
        blocks="words",
    ),
    *alike(
        Language(
            name="Prolog",
            ids="prolog",
            extensions="prolog yap",
            comment=Comment("%"),
            comments=(Comment("%"), BLOCK),
            quotes=(DOUBLE_LINES, Quote("'", doubles=True)),
            blocks="none",
        ),
        ("Logtalk", "logtalk", "lgt"),
        ("Mercury", "mercury", ""),
    ),
    Language(
        name="Isabelle",
        ids="isabelle",
        extensions="thy",
        comments=(_PAREN_BLOCK,),
        quotes=(DOUBLE_LINES,),
        blocks="none",
        indent="  ",
    ),
    Language(
        name="Lean",
        ids="lean",
        extensions="lean hlean",
        comment=DASHES,
        comments=(DASHES, Comment("/-", "-/", nests=True)),
        quotes=(DOUBLE_LINES,),
        characters="lifetime",
        blocks="indentation",
        indent="  ",
    ),
    *alike(
        Language(
            name="Common Lisp",
            ids="lisp commonlisp",
            extensions="lisp lsp asd ny sexp",
            comment=Comment(";;"),
            comments=(_SEMICOLON, _BAR_BLOCK),
            quotes=(
                DOUBLE_LINES,
                Quote(r"(?<!\S)(?P<d>\|)", "{}", is_pattern=True, first="|", multiline=True),
            ),
            characters="lifetime",
            escapes_in_code=True,  # #\(
            blocks="brackets",
            indent="  ",
        ),
        ("Emacs Lisp", "emacs-lisp elisp", "el emacs"),
        ("Scheme", "scheme guile", "scm sld sps ss"),
        ("Racket", "racket", "rkt rktd rktl scrbl"),
        ("Fennel", "fennel", "fnl"),
    ),
    Language(
        name="Clojure",
        ids="clojure",
        extensions="clj cljs cljc cljx cl2 boot edn bb",
        comment=Comment(";;"),
        comments=(_SEMICOLON,),
        quotes=(DOUBLE_LINES,),
        characters="lifetime",
        escapes_in_code=True,  # \(
        blocks="brackets",
        indent="  ",
    ),
    *alike(
        Language(
            name="Hy",
            ids="hy",
            extensions="hy",
            comment=Comment(";;"),
            comments=(_SEMICOLON,),
            quotes=(DOUBLE_LINES, Quote("`", escape="", multiline=True)),
            blocks="brackets",
            indent="  ",
        ),
        ("Janet", "janet", "janet"),
    ),
    Language(
        name="Wolfram Language",
        ids="wolfram",
        extensions="wl wlt mathematica ma mt nb nbp cdf",
        comments=(_PAREN_BLOCK,),
        quotes=(DOUBLE_LINES,),
        blocks="brackets",
    ),
    Language(
        name="Smalltalk",
        ids="smalltalk",
        extensions="st",
        comments=(Comment('"', '"'),),
        quotes=(Quote("'", escape="", doubles=True, multiline=True),),
        blocks="brackets",
    ),
    Language(
        name="Stan",
        ids="stan",
        extensions="stan",
        comments=C_COMMENTS,
        quotes=(DOUBLE,),
        indent="  ",
    ),
)
