"""Licence detection against ScanCode's: on the licence files and the headers of packages.

    python -m benchmarks.attribution.licences ARCHIVES… [--headers 2] [--out build/attribution/licences.json]

Needs ScanCode, no part of this project: `pip install scancode-toolkit-mini pluggy==1.5.0`. Of each archive
all licence files are read, and the heads of source files that speak of a licence. Answers are compared as
sets of licences: their order does not count, nor does whether one may be chosen.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attribution.errors import ExpressionError, SourceError
from attribution.sources.licences import HEADER_BYTES, is_licence_file, licence_of_header, licence_of_text
from attribution.sources.spdx import licences_in, parse
from attribution.sources.trees import ArchiveTree

_SOURCE = (".c", ".h", ".py", ".js", ".ts", ".java", ".go", ".rs", ".pyx")
_TELLING = re.compile(rb"licen[cs]e|spdx|gpl", re.IGNORECASE)
_MAX_BYTES = 1 << 20


def texts_of(archive: Path, headers: int) -> Iterator[tuple[str, bytes, bool]]:
    """(path, text, whether it is a licence file) of what is to be recognised."""
    for member in ArchiveTree(archive).members():
        is_text = is_licence_file(member.path)
        if not is_text and (headers == 0 or not member.path.endswith(_SOURCE)):
            continue
        data = member.read(_MAX_BYTES)
        if data is None:
            continue
        if is_text:
            yield member.path, data, True
        elif _TELLING.search(data[:HEADER_BYTES]):
            headers -= 1
            yield member.path, data[:HEADER_BYTES], False


def scancode(text: str) -> str | None:
    """ScanCode's answer as an SPDX expression."""
    from licensedcode.cache import build_spdx_license_expression  # type: ignore[import-not-found]
    from licensedcode.detection import detect_licenses  # type: ignore[import-not-found]

    keys = dict.fromkeys(
        detection.license_expression
        for detection in detect_licenses(query_string=text)
        if detection.license_expression
    )
    if not keys:
        return None
    expression: str = build_spdx_license_expression(" AND ".join(f"({key})" for key in keys))
    return expression


def identifiers(expression: str | None) -> frozenset[str]:
    """The licences of an expression; those that SPDX does not list are one: unknown."""
    if expression is None:
        return frozenset()
    try:
        found = licences_in(parse(expression))
    except ExpressionError:
        return frozenset({expression})
    return frozenset("unknown" if one.id.startswith("LicenseRef") else one.id for one in found)


def main() -> None:
    """Compare, print the counts, and write every difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--headers", type=int, default=2, help="at most so many headers of a package")
    parser.add_argument("--out", type=Path, default=Path("build/attribution/licences.json"))
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    differ = []
    seen: set[bytes] = set()
    for archive in options.archives:
        try:
            texts = list(texts_of(archive, options.headers))
        except SourceError as error:
            print(error)
            continue
        counts["packages"] += 1
        for path, data, is_text in texts:
            if data in seen:
                continue
            seen.add(data)
            text = data.decode("utf-8", errors="replace")
            started_s = time.perf_counter()
            ours = licence_of_text(text) if is_text else licence_of_header(data)
            between_s = time.perf_counter()
            theirs = scancode(text)
            seconds["ours"] += int((between_s - started_s) * 1e6)
            seconds["ScanCode"] += int((time.perf_counter() - between_s) * 1e6)
            kind = "texts" if is_text else "headers"
            same = identifiers(ours) == identifiers(theirs)
            counts[f"{kind}, {'same' if same else 'other' if ours else 'not recognised'}"] += 1
            if not same:
                differ.append({"package": archive.name, "path": path, "ours": ours, "ScanCode": theirs})
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"counts": counts, "us": seconds, "differ": differ}, indent=1))
    for name, number in sorted(counts.items()):
        print(f"{name}: {number}")
    print(", ".join(f"{name} {number / 1e6:.1f} s" for name, number in seconds.items()))


if __name__ == "__main__":
    main()
