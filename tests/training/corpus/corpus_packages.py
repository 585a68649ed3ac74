"""Builds tiny real archives (wheels, npm tarballs) and the manifests that pin them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from attribution.sources.manifest import Ecosystem, Manifest, Package, Split
from training.corpus.records.fetch import sha256_of

MIT_TEXT = "MIT License\n\nCopyright (c) 2024 Ada\n\nPermission is hereby granted, free of charge, …\n"


def make_wheel(
    folder: Path,
    name: str,
    files: Mapping[str, str | bytes],
    *,
    license: str = "MIT",
    split: Split = Split.TRAIN,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> Package:
    """Write a pure-Python wheel that pip accepts; returns the entry that pins it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nLicense-Expression: {license}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel, f"{info}/LICENSE": MIT_TEXT}
    record = "".join(f"{path},{_record_hash(data)},{len(_bytes(data))}\n" for path, data in members.items())
    members[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        for member, data in members.items():
            bundle.writestr(zipfile.ZipInfo(member), _bytes(data))
    return Package(
        ecosystem=Ecosystem.PYPI,
        name=name,
        version="1.0",
        file=path.name,
        sha256=sha256_of(path),
        license=license,
        repository=f"ada/{name}",
        split=split,
        include=include,
        exclude=exclude,
    )


def make_npm(
    folder: Path, name: str, files: Mapping[str, str], *, scripts: Mapping[str, str] | None = None
) -> Package:
    """Write an npm tarball; `scripts` go into its package.json."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"name": name, "version": "1.0.0", "license": "MIT", "scripts": dict(scripts or {})}
    path = folder / f"{name}-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as bundle:
        for member, text in {"package.json": json.dumps(manifest), **files}.items():
            entry = tarfile.TarInfo(f"package/{member}")
            entry.size = len(text.encode())
            bundle.addfile(entry, io.BytesIO(text.encode()))
    return Package(
        ecosystem=Ecosystem.NPM,
        name=name,
        version="1.0.0",
        file=path.name,
        sha256=sha256_of(path),
        license="MIT",
        repository=f"ada/{name}",
    )


def cached(cache: Path, *packages: Package, source: Path) -> Manifest:
    """Put archives into a cache as a finished fetch would; returns their manifest."""
    for package in packages:
        target = package.archive_in(cache)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / package.file).read_bytes())
    return Manifest(name="tiny", packages=packages)


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def _record_hash(data: str | bytes) -> str:
    digest = hashlib.sha256(_bytes(data)).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def written(manifest: Manifest, folder: Path) -> str:
    """The manifest as a TOML file; returns its path, as a source of a build."""
    lines = ["version = 1", f'name = "{manifest.name}"']
    for package in manifest.packages:
        lines.append("[[package]]")
        for key in ("ecosystem", "name", "version", "file", "sha256", "license", "repository", "split"):
            lines.append(f'{key} = "{getattr(package, key)}"')
        lines += [f"{key} = {json.dumps(getattr(package, key))}" for key in ("include", "exclude")]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest.name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)
