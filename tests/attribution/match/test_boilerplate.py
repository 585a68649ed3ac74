"""What says something about where code is from, and what does not."""

import pytest

from attribution.match.boilerplate import boilerplate_of
from attribution.source import Boilerplate, span_in
from attribution.tokens.lexer import lex

LICENCE = """/*
 * Licensed to the Foundation under one or more contributor license agreements (see the NOTICE file).
 * You may not use this file except in compliance with the License (the "License"); a copy is at
 *     http://www.example.org/licenses/LICENSE-2.0
 */
"""
JAVA_HEAD = (
    LICENCE + "package org.example.io;\n\nimport java.io.File;\nimport java.util.List;\n\npublic class"
)
METHOD = """
    private int parse(final String text, int start) {
        while (start < text.length() && Character.isDigit(text.charAt(start))) {
            total = total * 10 + text.charAt(start++) - '0';
        }
        return total;
    }
"""
CASES = [
    ("a ruler", "/" * 2 + "-" * 64 + "\n", "a.js", Boilerplate.REPETITION),
    ("brackets", "[[], [], [], [], [], [], [], [], [], [], [], []]\n", "a.py", Boilerplate.REPETITION),
    ("zeros", "0, " * 100, "a.c", Boilerplate.NUMBERS),
    ("a table", "".join(f"    {{ 0x{n:x}, {n}, -{n} }},\n" for n in range(40)), "a.c", Boilerplate.NUMBERS),
    ("a licence", LICENCE, "a.java", Boilerplate.COMMENTS),
    ("a file's head", JAVA_HEAD, "a.java", Boilerplate.COMMENTS),
    ("imports", "".join(f"import org.example.a{n}.B{n};\n" for n in range(9)), "a.java", Boilerplate.IMPORTS),
    (
        "imports in brackets",
        'import (\n\t"fmt"\n\t"os"\n\n\t"example.org/a/b"\n\t"example.org/c"\n)\n',
        "a.go",
        Boilerplate.IMPORTS,
    ),
    (
        "a tree of imports",
        "use std::{fmt, io::{Read, Write}, rc::Rc};\nuse a::b::c;\npub use d::e;\nuse x::y;\n",
        "a.rs",
        Boilerplate.IMPORTS,
    ),
    (
        "names imported",
        "import { useEffect, useMemo, useRef, useState } from 'react';\n" * 2,
        "a.ts",
        Boilerplate.IMPORTS,
    ),
    ("headers", "".join(f"#include <linux/name{n}.h>\n" for n in range(8)), "a.c", Boilerplate.IMPORTS),
    (
        "documentation",
        '"""' + "Words about what this is for, and who may use it. " * 4 + '"""\n',
        "a.py",
        Boilerplate.COMMENTS,
    ),
    ("a method", METHOD, "A.java", None),
    ("a licence above a method", LICENCE + METHOD, "A.java", None),
    ("code in a language that nobody knows", METHOD, "a.unheard-of", None),
    ("names in a table", "".join(f"    {a}_{b} = {a}.{b},\n" for a in "klmn" for b in "pqrs"), "a.py", None),
]


@pytest.mark.parametrize(
    ("text", "path", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_information_decides(text: str, path: str, expected: Boilerplate | None) -> None:
    data = text.encode()
    assert boilerplate_of(data, lex(data), span_in(data, 0, len(data)), path, is_same=True) is expected


def test_a_comment_is_known_by_what_stands_before() -> None:
    head, rest = LICENCE.encode().split(b"You may", 1)
    place = span_in(head + rest, len(head), len(head + rest))
    tokens = lex(head + rest)
    inside = tokens.part(len(lex(head)), len(tokens))
    assert boilerplate_of(head + rest, inside, place, "a.java", is_same=True) is Boilerplate.COMMENTS


def test_what_is_only_alike_must_say_more() -> None:
    data = METHOD.encode()
    span = span_in(data, 0, len(data))
    short = lex(data).part(0, 45)
    assert boilerplate_of(data, short, span, "A.java", is_same=True) is None
    assert boilerplate_of(data, short, span, "A.java", is_same=False) is Boilerplate.IDIOM
