"""The licence of a model: read from its card, and what it forbids if it is an OpenRAIL.

Owns reading and the short summary; whether and when it is shown is `model.weights.hub.first_notice`'s
business. The summary is ours and no substitute: the licence's own Attachment A counts.
"""

from __future__ import annotations

import re
from pathlib import Path

# How licence files begin, for models without a card. The most telling words first.
_BY_TITLE = (
    ("bigcode-openrail-m", r"BigCode Open ?RAIL-M"),
    ("openrail-m", r"Open ?RAIL"),
    ("apache-2.0", r"Apache License[\W_]+Version 2\.0"),
    ("mit", r"MIT License|Permission is hereby granted, free of charge"),
    ("bsd-3-clause", r"Redistributions in binary form.*Neither the name"),
)
_TITLE_CHARS = 3_000


def read_licence(folder: Path) -> str | None:
    """The licence's short name from the model card's front matter, else from a licence file."""
    card = folder / "README.md"
    if card.is_file() and (named := licence_of_card(card.read_text(encoding="utf-8", errors="replace"))):
        return named
    files = sorted([*folder.glob("LICENSE*"), *folder.glob("LICENCE*")])
    found = (licence_of_text(file.read_text(encoding="utf-8", errors="replace")) for file in files)
    return next((name for name in found if name), None)


def licence_of_card(card: str) -> str | None:
    """`license:` (or, where that is `other`, `license_name:`) of a card's YAML front matter."""
    front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", card, re.DOTALL)
    if front is None:
        return None
    keys = dict(re.findall(r"^(license|license_name):[ \t]*['\"]?([\w.+-]+)", front[1], re.MULTILINE))
    licence = keys.get("license")
    return keys.get("license_name", licence) if licence == "other" else licence


def licence_of_text(text: str) -> str | None:
    """The short name of a licence by how its text begins."""
    head = text[:_TITLE_CHARS]
    return next((name for name, title in _BY_TITLE if re.search(title, head, re.DOTALL)), None)


def restrictions_of(licence: str | None) -> str | None:
    """What an OpenRAIL forbids, in short; None for licences without such restrictions."""
    if licence is None or "openrail" not in licence.lower().replace(" ", ""):
        return None
    return (
        f"This model's licence ({licence}) restricts its use. In short: nothing unlawful; nothing that "
        "exploits or harms minors; no malware; no harmful falsehoods or personal data spread to hurt "
        "people; no publishing of its output without saying plainly that a machine made it, nor deceiving "
        "others about that; no defaming or harassing; no medical advice; no automated decisions on "
        "people's legal rights, and no discrimination. The same must bind whoever you pass the model on "
        "to. Attachment A of the licence is what counts: read it."
    )
