"""What a Maven pom.xml says of its artifact."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

POM_FILE = "pom.xml"
_NAMESPACE = re.compile(r"\{[^}]*\}")


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
