"""The policy of a project, `.starcoder-policy.toml`, and what it makes of a match.

`check`, the editor's label and `block` all judge by this module, with the file nearest above the code.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from attribution.errors import ExpressionError, PolicyError
from attribution.policy.conditions import AllowList, Condition
from attribution.source import Source
from attribution.sources.spdx import strictness
from model.local.gitignore import Patterns, why_ignored
from model.local.small_files import read_small_toml

POLICY_FILE = ".starcoder-policy.toml"
POLICY_VERSION = 1
_LISTS = ("allow", "deny", "review")


class LicenceOutcome(StrEnum):
    """What is made of a match, the gravest first."""

    DENIED = "denied"
    REVIEW = "review"
    IGNORED = "ignored"
    PASSED = "passed"


@dataclass(frozen=True, kw_only=True)
class LicenceVerdict:
    """An outcome, and the holder and the words that decided it."""

    outcome: LicenceOutcome
    reason: str = ""
    holder: Source | None = None


PASSED = LicenceVerdict(outcome=LicenceOutcome.PASSED)


@dataclass(frozen=True, kw_only=True)
class Ignored:
    """Paths that a person has looked at: why, and until when that holds (the day included)."""

    path: str
    reason: str
    expires: datetime.date

    def is_expired(self, today: datetime.date) -> bool:
        """Whether it holds no more."""
        return today > self.expires


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a licence must and must not be. `folder` is what the paths of `ignore` are relative to.

    `deny` counts before `review`, that before `allow`; with an allow-list all else is denied, also what is
    unknown.
    """

    allow: AllowList | None = None
    deny: tuple[Condition, ...] = ()
    review: tuple[Condition, ...] = ()
    ignore: tuple[Ignored, ...] = ()
    folder: Path = field(default_factory=Path.cwd)
    file: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy file. Raises `PolicyError` that names the file and the key at fault."""
        try:
            raw = read_small_toml(path)
        except OSError as error:
            raise PolicyError(f"{path}: cannot read this policy: {error.strerror}") from error
        except ValueError as error:
            raise PolicyError(f"{path}: not valid TOML: {error}") from error
        try:
            return _policy(raw, path)
        except ExpressionError as error:
            raise PolicyError(f"{path}: {error}") from error

    def verdict(self, holders: Iterable[Source], path: Path | None = None) -> LicenceVerdict:
        """Of a match in the file at `path`: the gravest verdict on any of its holders."""
        by_gravity = list(LicenceOutcome)
        verdicts = map(self._of_licence, strictest_first(holders))
        found = min(verdicts, key=lambda one: by_gravity.index(one.outcome), default=PASSED)
        if found.outcome is LicenceOutcome.PASSED:
            return found
        ignored = None if path is None else self._ignored(path)
        if ignored is None:
            return found
        until = f"ignored until {ignored.expires}: {ignored.reason}"
        return LicenceVerdict(outcome=LicenceOutcome.IGNORED, reason=until, holder=found.holder)

    def _of_licence(self, holder: Source) -> LicenceVerdict:
        licence, name = holder.license, holder.license or "an unknown licence"
        for conditions, outcome in ((self.deny, LicenceOutcome.DENIED), (self.review, LicenceOutcome.REVIEW)):
            met = next((condition for condition in conditions if condition.met_by(licence)), None)
            if met is not None:
                return LicenceVerdict(outcome=outcome, reason=f"{name} meets {met.text!r}", holder=holder)
        if self.allow is not None and not self.allow.allows(licence):
            return LicenceVerdict(
                outcome=LicenceOutcome.DENIED, reason=f"{name} is not in the allow-list", holder=holder
            )
        return PASSED

    def _ignored(self, path: Path) -> Ignored | None:
        today = datetime.datetime.now(datetime.UTC).date()
        for one, patterns in zip(self.ignore, self._patterns, strict=True):
            if not one.is_expired(today) and _covers(self.folder, patterns, path):
                return one
        return None

    @cached_property
    def _patterns(self) -> tuple[Patterns, ...]:
        return tuple(Patterns.of_lines([one.path], origin=POLICY_FILE) for one in self.ignore)

    def expired(self) -> list[Ignored]:
        """What is ignored no more."""
        today = datetime.datetime.now(datetime.UTC).date()
        return [one for one in self.ignore if one.is_expired(today)]

    def with_conditions(self, *, allow: Sequence[str], deny: Sequence[str]) -> Policy:
        """This policy and what a command line adds to it. Raises `ExpressionError`."""
        return Policy(
            allow=AllowList.parse(allow) if allow else self.allow,
            deny=(*self.deny, *map(Condition.parse, deny)),
            review=self.review,
            ignore=self.ignore,
            folder=self.folder,
            file=self.file,
        )


def strictest_first(holders: Iterable[Source]) -> list[Source]:
    """Sources by how little their licences allow; those of one licence stay in their order."""
    return sorted(holders, key=lambda holder: (-strictness(holder.license), holder.license or ""))


def _covers(folder: Path, patterns: Patterns, path: Path) -> bool:
    """Whether a pattern names a file or a folder that it lies in."""
    absolute, top = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    if not absolute.is_relative_to(top):
        return False
    inner = absolute.relative_to(top)
    places = [inner, *list(inner.parents)[:-1]]
    known = [(Path(), patterns)]
    return any(why_ignored(known, place, is_folder=place != inner) for place in places)


def _policy(raw: Mapping[str, Any], path: Path) -> Policy:
    wrong = sorted(raw.keys() - {"version", "ignore", *_LISTS})
    if wrong:
        raise PolicyError(f"{path}: unknown key {wrong[0]!r}; known: version, {', '.join(_LISTS)}, ignore")
    if raw.get("version") != POLICY_VERSION:
        raise PolicyError(f"{path}: version = {raw.get('version')!r}; this program reads {POLICY_VERSION}")
    texts = {name: _texts(raw.get(name, []), f"{path}: {name}") for name in _LISTS}
    ignored = raw.get("ignore", [])
    if not isinstance(ignored, list):
        raise PolicyError(f"{path}: ignore must be tables, each under [[ignore]]")
    return Policy(
        allow=AllowList.parse(texts["allow"]) if "allow" in raw else None,
        deny=tuple(map(Condition.parse, texts["deny"])),
        review=tuple(map(Condition.parse, texts["review"])),
        ignore=tuple(_ignored(entry, f"{path}: ignore {n + 1}") for n, entry in enumerate(ignored)),
        folder=path.parent,
        file=path,
    )


def _texts(value: Any, where: str) -> list[str]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise PolicyError(f"{where} must be a list of texts")


def _ignored(entry: Any, where: str) -> Ignored:
    if not isinstance(entry, dict) or entry.keys() != {"path", "reason", "expires"}:
        raise PolicyError(f"{where}: give path, reason and expires, and nothing else")
    path, reason, expires = entry["path"], entry["reason"], entry["expires"]
    if not isinstance(path, str) or not path or not isinstance(reason, str) or not reason.strip():
        raise PolicyError(f"{where}: path and reason must be texts that say something")
    if type(expires) is not datetime.date:
        raise PolicyError(f"{where}: expires must be a date, as in 2027-06-30")
    return Ignored(path=path, reason=reason, expires=expires)


class Policies:
    """The policy for each file: of the folder nearest above it that has one. Each is read once."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, Policy | None] = {}

    def of(self, path: Path) -> Policy | None:
        """The policy for a file; None where there is none. Raises `PolicyError`."""
        return self._of_folder(Path(os.path.abspath(path)).parent)

    def read(self) -> list[Policy]:
        """The policies that were read so far."""
        found = {policy.file: policy for policy in self._by_folder.values() if policy is not None}
        return list(found.values())

    def _of_folder(self, folder: Path) -> Policy | None:
        if folder not in self._by_folder:
            file = folder / POLICY_FILE
            if file.is_file():
                self._by_folder[folder] = Policy.load(file)
            else:
                self._by_folder[folder] = None if folder.parent == folder else self._of_folder(folder.parent)
        return self._by_folder[folder]
