"""What the repository says about itself is true: tables, packages, pins, links, layout."""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lsp.cli.cli import ExitCode
from lsp.settings.settings import setting_infos
from model import errors
from model.serve.chat_protocol import ChatBody
from model.serve.protocol import CompletionBody

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("lsp", "model", "attribution", "training")
TOP_LEVEL = {
    *PACKAGES,
    "extension",
    "tests",
    "benchmarks",
    "docs",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "NOTICE",
    "setup.py",
    "Makefile",
    "constraints.txt",
    "compose.yaml",
}


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files that git knows and that are there, relative to the root."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return tuple(path for name in listing.split("\0") if name and (ROOT / (path := Path(name))).is_file())


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def texts() -> list[tuple[Path, str]]:
    """Every tracked text file. Long data files count as data."""
    found = []
    for path in tracked_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8000] and len(content) < 1_000_000:
            found.append((path, content.decode("utf-8", errors="replace")))
    return found


def modules() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in PACKAGES]


def normalised(requirement: str) -> str:
    """The distribution's name in a requirement or a pin (PEP 503)."""
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def settings_table() -> str:
    """README's table of settings, as the settings themselves say it."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for info in setting_infos():
        shown = "unset" if info.default is None else info.default
        if isinstance(shown, tuple):
            shown = f"{len(shown)} patterns of secret files" if shown else "none"
        elif isinstance(shown, bool):
            shown = str(shown).lower()
        rows.append(f"| `{info.key}` | {shown} | {info.doc} |")
    return "\n".join(rows)


def test_the_settings_table_of_the_readme_is_true() -> None:
    assert settings_table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_file_names_a_package_registry() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "npm" + "js.", "download.pytorch" + ".org")
    patterns = [*map(re.escape, hosts), r"index-url\s*=?\s*http", r'"resolved":\s*"http']
    found = [
        f"{path}: {match[0]}"
        for path, text in texts()
        for pattern in patterns
        if (match := re.search(pattern, text))
    ]
    assert found == []


def test_no_file_names_a_folder_of_this_machine() -> None:
    assert [path for path, text in texts() if str(ROOT) in text] == []


def test_nothing_unexpected_stands_at_the_top_level() -> None:
    names = {path.parts[0] for path in tracked_files()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path
        for path in modules()
        if ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_setuptools_finds_every_package() -> None:
    present = {".".join(path.parent.parts) for path in modules() if path.name == "__init__.py"}
    found = project()["tool"]["setuptools"]["packages"]["find"]
    assert not found["namespaces"], "a folder without __init__.py is data"
    assert found["include"] == [f"{package}*" for package in sorted(PACKAGES)]
    homeless = {path.parent for path in modules()} - {Path(*name.split(".")) for name in present}
    assert homeless == set()


def test_every_data_file_of_a_package_is_installed() -> None:
    globs = project()["tool"]["setuptools"]["package-data"]

    def is_installed(path: Path) -> bool:
        for package, patterns in globs.items():
            folder = Path(*package.split("."))
            if package == "*":
                inner = path.name
            elif folder in path.parents:
                inner = path.relative_to(folder).as_posix()
            else:
                continue
            if any(fnmatch.fnmatch(inner, pattern) for pattern in patterns):
                return True
        return False

    data = [path for path in tracked_files() if path.parts[0] in PACKAGES and path.suffix != ".py"]
    assert [path for path in data if not is_installed(path)] == []


# What a folder may import beyond the base dependencies: the extras that bring it. The longest name counts.
EXTRAS_OF = {
    "lsp": (),
    "lsp/cli/doctor_device.py": ("gpu",),
    "model": (),
    "model/pytorch": ("gpu",),
    "training": ("training",),
    "attribution": ("attribution",),
    "attribution/store/elastic": ("attribution", "elasticsearch"),
}


def extras_of(path: Path) -> tuple[str, ...]:
    """What a module may import beyond the base dependencies."""
    homes = (str(home) for home in (path, *path.parents))
    return next(EXTRAS_OF[home] for home in homes if home in EXTRAS_OF)


def declared(*extras: str) -> set[str]:
    """The distributions of the base installation and of some extras."""
    given = project()["project"]
    wanted = chain(given["dependencies"], *(requirements_of(extra) for extra in extras))
    return {normalised(item) for item in wanted}


def requirements_of(extra: str) -> list[str]:
    """An extra's requirements, with those of the extras that it names."""
    found: list[str] = []
    for item in project()["project"]["optional-dependencies"][extra]:
        if others := re.fullmatch(r"starcoder-lsp\[([\w,]+)\]", item):
            found += chain.from_iterable(map(requirements_of, others[1].split(",")))
        else:
            found.append(item)
    return found


def test_every_import_is_declared_where_it_is_needed() -> None:
    distributions = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in modules():
        allowed = declared(*extras_of(path))
        for name in third_party_imports(path):
            owners = {normalised(owner) for owner in distributions.get(name, [name])}
            if not owners & allowed and (path.parts[0], name) not in OPTIONAL_IMPORTS:
                undeclared.add(f"{path}: {name}")
    assert undeclared == set()


def test_what_tests_and_benchmarks_import_comes_with_dev() -> None:
    distributions = importlib.metadata.packages_distributions()
    everything = declared(*project()["project"]["optional-dependencies"])
    files = [
        path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in ("tests", "benchmarks")
    ]
    undeclared = {
        f"{path}: {name}"
        for path in files
        for name in third_party_imports(path) - {"tests", "benchmarks"}
        if not {normalised(owner) for owner in distributions.get(name, [name])} & everything
        and (path.parts[0], name) not in OPTIONAL_IMPORTS
    }
    assert undeclared == set()


# Used where it is installed, and done without where it is not.
OPTIONAL_IMPORTS = {
    ("model", "flash_attn"),
    ("model", "triton"),
    ("tests", "triton"),
    ("training", "ray"),
    ("benchmarks", "ctranslate2"),
    ("benchmarks", "llama_cpp"),
    ("benchmarks", "gguf"),
    ("benchmarks", "vllm"),
    ("benchmarks", "licensedcode"),  # scancode-toolkit
}


def third_party_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def test_every_declared_dependency_is_used() -> None:
    distributions = importlib.metadata.packages_distributions()
    used = {
        normalised(owner)
        for path in modules()
        for name in third_party_imports(path)
        for owner in distributions.get(name, [name])
    }
    assert declared("all") - used == set()


def test_everything_is_in_one_extra_and_the_tests_have_it() -> None:
    extras = set(project()["project"]["optional-dependencies"]) - {"all", "dev", "release"}
    assert set(requirements_of("all")) == set(chain.from_iterable(map(requirements_of, extras)))
    assert set(requirements_of("all")) <= set(requirements_of("dev"))


def test_every_dependency_is_pinned() -> None:
    pins = {
        normalised(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert declared(*project()["project"]["optional-dependencies"]) - pins == set()


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = []
    for path, text in texts():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not re.match(r"[a-z]+:", target) and not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []


def test_the_documents_name_make_targets_that_exist() -> None:
    targets = set(
        re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    documents = [(path, text) for path, text in texts() if path.suffix == ".md" or path.parts[0] == ".ci"]
    named = {
        (path, target)
        for path, text in documents
        for target in re.findall(r"(?:`|^|\n)make ([a-z][a-z0-9-]*)", text)
    }
    assert {target for _, target in named} <= targets, sorted(named)


def table_keys(document: str) -> set[str]:
    """The first cells in code style of a document's tables."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([\w./ ]+)` \|", text, re.MULTILINE))


def test_the_http_document_names_every_field() -> None:
    documented = {key for key in table_keys("docs/http-api.md") if "/" not in key}
    assert documented == {*CompletionBody.model_fields, *ChatBody.model_fields}


def test_the_document_of_exceptions_has_them_all() -> None:
    text = (ROOT / "docs/exceptions.md").read_text(encoding="utf-8")
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert set(re.findall(r"\b(\w+Error)\b", text)) == raised
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert codes == {*ExitCode, 130}


def test_the_licence_is_apache() -> None:
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("script", [".ci/run", ".ci/install", ".ci/elasticsearch"])
def test_scripts_are_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
