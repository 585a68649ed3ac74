"""Which corpus manifests we train on: those whose every package is under a permissive licence.

How a manifest is read is `attribution.sources.manifest`'s, which indexes the same packages.
"""

from __future__ import annotations

import re
from pathlib import Path

from attribution.errors import SourceError
from attribution.sources.manifest import Manifest, Package
from training.corpus.errors import ManifestError
from training.corpus.records.languages import TableName

# The part of the Blue Oak Council's permissive list (and PSF-2.0) that our packages need; a
# licence outside of it is refused when the manifest is read, so none slips in by an edit.
PERMISSIVE_LICENSES = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0"}
)


def load_manifest(path: Path) -> Manifest:
    """Read a manifest to train on; raises ManifestError that names the file, entry and key at fault."""
    try:
        manifest = Manifest.load(path)
    except SourceError as error:
        raise ManifestError(str(error)) from error
    for package in manifest.packages:
        _check_licence(package)
    if manifest.table not in list(TableName):
        known = " or ".join(TableName)
        raise ManifestError(f"{path}: table {manifest.table!r} is unknown; it can be {known}")
    return manifest


def starter_manifest() -> Manifest:
    """The manifest of the bundled starter model's corpus."""
    return load_manifest(Path(__file__).parents[1] / "starter.toml")


def _check_licence(package: Package) -> None:
    named = set(re.split(r"\s+(?:AND|OR)\s+|[()\s]+", package.license)) - {""}
    if not named or named - PERMISSIVE_LICENSES:
        raise ManifestError(
            f"{package.identity}: licence {package.license!r} is not on the permissive list; "
            "remove the package"
        )
