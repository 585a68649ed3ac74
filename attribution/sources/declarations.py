"""Which licence a package's metadata declares: an SPDX expression, or None for what is not understood.

People write expressions, names, classifiers and lists of them. What restricts a known licence, or names one
that is not understood, is unknown, never guessed. Also serves `training/`, whose packages are pinned with
their licence.
"""

from __future__ import annotations

import email.parser
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from attribution.errors import ExpressionError
from attribution.sources.licences import gnu_identifier, licence_of_text
from attribution.sources.spdx import Expression, Joined, is_reference, licences_in, parse

POM_FILE = "pom.xml"
_NAMESPACE = re.compile(r"\{[^}]*\}")
# npm's word for "you may not", which is not the Unlicense; ScanCode's LicenseDB has an identifier for it.
_PROPRIETARY = re.compile(r"unlicensed|proprietary|commercial|all rights reserved\.?", re.IGNORECASE)
PROPRIETARY = "LicenseRef-scancode-proprietary-license"
# A known name with a restriction is another licence.
_RESTRICTED = re.compile(r"non-?commercial|commons clause|evaluation only", re.IGNORECASE)
# Cargo wrote `/` for OR before it read SPDX expressions. "or later" is part of a name.
_EITHER = re.compile(r"\s*(?:/|\||;|,?\s+or)\s+(?!later|newer|any\b|above)|/|\|", re.IGNORECASE)
_BOTH = re.compile(r"\s*(?:,|&|\+\s|,?\s+and\s)\s*(?!above|later|newer)", re.IGNORECASE)
_VERSION = re.compile(r"\d+(?:\.\d+)*")
# npm's pointer to a text.
_REFERS = re.compile(r"see licen[cs]e in\s+(?:the\s+)?(\S+)", re.IGNORECASE)

_GNU = re.compile(
    r"(?P<kind>affero|agpl|lesser|library|lgpl|gnu general|general public|\bgpl)", re.IGNORECASE
)
_GNU_VERSION = re.compile(
    r"(?:v|version|gpl|licen[cs]e|-|\s|^)[\s.,-]*(?:v\.?)?\s*([123](?:\.\d)?)(?!\d)", re.IGNORECASE
)
_LATER = re.compile(
    r"\+|or[ -]+(?:\(?at your option\)? )?(?:any )?(?:later|newer|above)|and above", re.IGNORECASE
)

# What a name may stand for, by families; of a family the first that fits counts.
_FAMILIES: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = (
    ((r"(?:mozilla|mpl).*2", ("MPL-2.0",)), (r"(?:mozilla|mpl).*1\.1", ("MPL-1.1",))),
    (
        (r"(?:apache|asl).*1\.1", ("Apache-1.1",)),
        (r"(?:apache|asl).*1\.0", ("Apache-1.0",)),
        (r"apache|\basl\b.*2", ("Apache-2.0",)),
    ),
    (
        (
            r"\bbsd-3|(?:3|three).clause|new bsd|modified bsd|revised bsd|edl|eclipse distribution",
            ("BSD-3-Clause",),
        ),
        (r"\bbsd-2|(?:2|two).clause|simplified bsd|freebsd", ("BSD-2-Clause",)),
        (r"\b0bsd\b|zero.clause", ("0BSD",)),
        (r"\bbsd\b(?!-\d)", ("BSD-2-Clause", "BSD-3-Clause")),
    ),
    ((r"\bmit-0\b|mit no attribution", ("MIT-0",)), (r"\bmit\b|expat", ("MIT",))),
    ((r"\bisc\b", ("ISC",)),),
    ((r"python software foundation|\bpsf", ("PSF-2.0",)),),
    ((r"unlicense", ("Unlicense",)),),
    ((r"zlib", ("Zlib",)),),
    ((r"(?:eclipse public|epl).*2", ("EPL-2.0",)), (r"(?:eclipse public|epl).*1", ("EPL-1.0",))),
    ((r"(?:common development|cddl).*1\.1", ("CDDL-1.1",)), (r"common development|cddl", ("CDDL-1.0",))),
    ((r"boost", ("BSL-1.0",)),),
    ((r"\bcc0\b", ("CC0-1.0",)),),
    ((r"wtfpl", ("WTFPL",)),),
)
_NAMES = tuple(
    tuple((re.compile(pattern, re.IGNORECASE), names) for pattern, names in family) for family in _FAMILIES
)


def licence_of_declaration(declared: str) -> str | None:
    """The expression that package metadata stands for: an expression, a licence's name, or its text."""
    first_line = next(iter(declared.strip().splitlines()), "").strip()
    if _PROPRIETARY.fullmatch(first_line):
        return PROPRIETARY
    if _RESTRICTED.search(first_line):
        return None
    tree = _tree(first_line)
    if tree is not None and all(one.is_known or is_reference(one.id) for one in licences_in(tree)):
        return first_line
    families = _named(first_line)
    if len(families) > 1 or _EITHER.search(first_line):
        joined = _joined(first_line, _EITHER, " OR ") or _joined(first_line, _BOTH, " AND ")
        if joined or len(families) > 1:
            return joined
    if isinstance(tree, Joined) and not _EITHER.search(first_line.removesuffix(".")):
        # An expression of which one part is not known.
        return None
    if families and len(families[0]) == 1:
        return families[0][0]
    # A name that may stand for several is decided by the text, if it is there.
    return licence_of_text(declared)


def restricts(declared: str) -> bool:
    """Whether a declaration says more than the licences that can be read in it."""
    tree = _tree(declared)
    return isinstance(tree, Joined) or _RESTRICTED.search(declared) is not None


def licences_named(declared: str) -> frozenset[str]:
    """All licences that the names in a declaration may stand for."""
    return frozenset(name for family in _named(declared) for name in family)


def file_referred_to(declared: str) -> str | None:
    """The file that a declaration points to instead of naming a licence."""
    match = _REFERS.search(declared)
    return None if match is None else match[1].strip("'\"<>").removeprefix("./")


def bracketed(expression: str) -> str:
    """An expression as a part of a larger one."""
    return f"({expression})" if re.search(r" (?:OR|AND) ", expression, re.IGNORECASE) else expression


def joined_by(operator: str, expressions: list[str]) -> str | None:
    """One expression of several different ones; None of none."""
    parts = list(dict.fromkeys(expressions))
    return parts[0] if len(parts) == 1 else operator.join(map(bracketed, parts)) or None


def _tree(text: str) -> Expression | None:
    try:
        return parse(text)
    except ExpressionError:
        return None


def _joined(text: str, separator: re.Pattern[str], operator: str) -> str | None:
    """The parts of a list, each understood; None where one is not."""
    parts = [part.strip(" ()") for part in separator.split(text)]
    found: list[str] = []
    for number, part in enumerate(parts):
        # `GPL-2.0/3.0`: only the version is another.
        whole = (
            _VERSION.sub(part, parts[number - 1], count=1) if number and _VERSION.fullmatch(part) else part
        )
        licence = licence_of_declaration(whole) if len(parts) > 1 else None
        if licence is None:
            return None
        found.append(licence)
    return joined_by(operator, found)


def _named(text: str) -> list[tuple[str, ...]]:
    """What the names in a text may stand for, a tuple a family."""
    found = [names for family in _NAMES if (names := _first(family, text))]
    if gnu := _GNU.search(text):
        version = _GNU_VERSION.search(text, gnu.start())
        found.append(
            (gnu_identifier(gnu["kind"], version and version[1], is_later=bool(_LATER.search(text))),)
        )
    return found


def _first(family: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...], text: str) -> tuple[str, ...]:
    return next((names for pattern, names in family if pattern.search(text)), ())


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a package's metadata says: an expression or the field for it, and classifiers of PyPI."""

    stated: str
    classifiers: tuple[str, ...] = ()

    @property
    def one(self) -> str:
        """What it comes to: of several classifiers nobody knows whether all hold or one may be chosen."""
        return self.stated or (self.classifiers[0] if len(self.classifiers) == 1 else "")


def declared_by_python(metadata: str) -> Declared:
    """What a METADATA or PKG-INFO says; an SPDX expression counts before all else."""
    headers = email.parser.HeaderParser().parsestr(metadata)
    if headers["License-Expression"]:
        return Declared(stated=str(headers["License-Expression"]))
    stated = str(headers["License"] or "").strip()
    return Declared(
        stated="" if stated == "UNKNOWN" else stated,
        classifiers=of_classifiers([str(value) for value in headers.get_all("Classifier", [])]),
    )


def of_classifiers(classifiers: list[str]) -> tuple[str, ...]:
    """The licences among PyPI's classifiers; "OSI Approved" alone names none."""
    last = (value.split(" :: ")[-1] for value in classifiers if value.startswith("License ::"))
    return tuple(value for value in last if value != "OSI Approved")


def declared_by_npm(package: dict[str, Any]) -> Declared:
    """What a package.json says; of an old `licenses` list one may be chosen."""
    stated = package.get("license") or package.get("licenses") or ""
    several = stated if isinstance(stated, list) else [stated]
    names = [str(one.get("type", "") if isinstance(one, dict) else one) for one in several]
    return Declared(stated=" OR ".join(filter(None, names)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pom:
    """`licence` joins the names of several by OR: one may be chosen (Maven's POM reference, "Licenses")."""

    name: str
    version: str | None
    licence: str
    link: str


def read_pom(text: str) -> Pom | None:
    """A pom's facts; None if it is malformed, or defines entities, which Maven's own never do."""
    if "<!ENTITY" in text:
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", str(element.tag))
    group = root.findtext("groupId") or root.findtext("parent/groupId") or ""
    names = [
        _squeezed(one.findtext("name") or one.findtext("url")) for one in root.iterfind("licenses/license")
    ]
    return Pom(
        name=f"{group.strip()}:{_squeezed(root.findtext('artifactId'))}",
        version=_squeezed(root.findtext("version") or root.findtext("parent/version")) or None,
        licence=" OR ".join(filter(None, names)),
        link=_squeezed(root.findtext("scm/url") or root.findtext("url")),
    )


def _squeezed(text: str | None) -> str:
    return " ".join((text or "").split())
