"""`starcoder-lsp check`: arguments to calls, results to text. (`index` is in `attribution.cli.index`.)

Exit codes: 0 nothing is denied, 1 something is, 2 something could not be checked and nothing is denied.
Heavy modules are imported by the command that needs them: the language server's start must not pay for numpy.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution.cli.common import FAILED, INDEX_VARIABLE, Fallback, index_url, reported_errors, say
from attribution.cli.index import ListedSets, index_app
from attribution.errors import IndexMissingError, InputError
from attribution.source import MatchKind

if TYPE_CHECKING:
    from attribution.match.report import FileAnswer
    from attribution.match.seen import SeenFile
    from attribution.policy.policy import Policies, Policy
    from attribution.sources.inputs import FoundInputs, Input

__all__ = ["check", "index_app"]

DENIED = 1


class Format(StrEnum):
    """How `check` answers."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files and folders; `-` is the standard input. With --diff: only in these."),
    ] = None,
    index: Annotated[
        str | None, typer.Option(envvar=INDEX_VARIABLE, help="Folder or URL of the index.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to answer.")] = Format.TEXT,
    min_tokens: Annotated[
        int, typer.Option(help="Shorter copies are not reported; below 32 some are missed.")
    ] = 32,
    kind: Annotated[list[MatchKind] | None, typer.Option(help="Only these kinds; may be repeated.")] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Deny: any, copyleft, unknown, or an SPDX expression; may be repeated.", metavar="CONDITION"
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Deny all but these licences, as in 'MIT OR Apache-2.0'.", metavar="LICENCES"),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="A policy file, instead of the .starcoder-policy.toml nearest above each file."),
    ] = None,
    diff: Annotated[
        str | None, typer.Option(help="Only lines that were added since this revision.", metavar="REV")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Show at most so many matches of a file; all are judged.")
    ] = None,
    boilerplate: Annotated[
        bool, typer.Option(help="Show and judge comments, imports, tables of numbers and repetitions too.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes to check with; 0 is one a core.")] = 1,
) -> None:
    """Say which indexed files hold (parts of) these files, and under which licences.

    Where there is no index, the portrait of the local model's training set says what that has seen.
    Exit code: 0 nothing is denied, 1 something is, 2 something could not be checked.
    """
    with reported_errors():
        fallback = context.obj.fallback() if isinstance(context.obj, ListedSets) else Fallback()
        wanted = _Wanted(
            fail_on=fail_on or (),
            allow=allow or (),
            policy_file=policy,
            min_tokens=min_tokens,
            kinds=kind,
            limit=limit,
            output=output,
            boilerplate=boilerplate,
            jobs=jobs or os.cpu_count() or 1,
        )
        found = _found(files or (), diff)
        url = index_url(index or fallback.index)
        if index is None and fallback.portrait is not None and _is_missing(url):
            code = _seen(wanted, found, fallback, fallback.portrait, url)
        else:
            code = _checked(wanted, found, url)
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the command line asks. Raises `AttributionError` for conditions and policies that say nothing."""

    fail_on: Sequence[str]
    allow: Sequence[str]
    policy_file: Path | None
    min_tokens: int
    kinds: Sequence[MatchKind] | None
    limit: int | None
    output: Format
    boilerplate: bool
    jobs: int
    policies: Policies = field(init=False)
    given: Policy | None = field(init=False)

    def __post_init__(self) -> None:
        from attribution.policy.policy import Policies, Policy

        object.__setattr__(self, "policies", Policies())
        given = None if self.policy_file is None else Policy.load(self.policy_file)
        object.__setattr__(self, "given", given)
        # Whatever is found: conditions are checked before anything is searched.
        Policy().with_conditions(allow=self.allow, deny=self.fail_on)

    def policy_of(self, one: Input) -> Policy | None:
        """What a file is judged by; None where nothing judges it."""
        from attribution.policy.policy import Policy

        found = self.given or self.policies.of(one.path)
        if not self.fail_on and not self.allow:
            return found
        return (found or Policy()).with_conditions(allow=self.allow, deny=self.fail_on)


def _found(files: Sequence[str], diff: str | None) -> FoundInputs:
    from attribution.sources.inputs import find_changes, find_inputs

    if diff is not None:
        return find_changes(diff, files)
    if not files:
        raise InputError("nothing to check: name files or folders, `-` for the standard input, or --diff REV")
    return find_inputs(files)


def _checked(wanted: _Wanted, found: FoundInputs, url: str) -> int:
    """Answer from an index; the exit code."""
    from dataclasses import replace

    from attribution.match.attribute import EXHAUSTIVE
    from attribution.match.checking import check_inputs

    options = replace(
        EXHAUSTIVE,
        min_tokens=wanted.min_tokens,
        kinds=frozenset(wanted.kinds or MatchKind),
        boilerplate=wanted.boilerplate,
    )
    answers = list(check_inputs(found.inputs, url, options, wanted.policy_of, jobs=wanted.jobs))
    found.left_out["binary"] += sum(one.is_binary for one in answers)
    found.failures += [(one.file, one.failure) for one in answers if one.failure is not None]
    say(_formatted([one for one in answers if not one.is_binary], wanted, found))
    _tell(wanted, found)
    if any(one.is_denied for one in answers):
        return DENIED
    return FAILED if found.failures else 0


def _tell(wanted: _Wanted, found: FoundInputs) -> None:
    """What was left out, what could not be checked, and what is ignored no more."""
    policies = [*wanted.policies.read(), *([wanted.given] if wanted.given else [])]
    for policy in policies:
        for one in policy.expired():
            say(f"{policy.file}: {one.path} is ignored no more since {one.expires}: {one.reason}", err=True)
    for reason, number in found.left_out.most_common():
        if number:
            say(f"{number:,} left out: {reason}", err=True)
    for name, reason in found.failures:
        say(f"error: {name}: {reason}", err=True)


def _is_missing(url: str) -> bool:
    from attribution.store.open import index_stamp, is_remote

    return not is_remote(url) and index_stamp(url) is None


def _seen(wanted: _Wanted, found: FoundInputs, fallback: Fallback, portrait: Path, url: str) -> int:
    """Answer from the portrait; the exit code. Raises `IndexMissingError` for what it cannot answer."""
    needs = f"there is no attribution index at {url}; to build one: `{fallback.build}`"
    if unanswered := _beyond_a_portrait(wanted, found):
        raise IndexMissingError(
            f"{unanswered} cannot be answered by the portrait of {fallback.model}: {needs}"
        )
    say(f"{needs}\nsearched: the portrait of what {fallback.model} was trained on", err=True)
    answers = _recognised(wanted, found, fallback.model, portrait)
    failed = bool(wanted.fail_on) and any(one.copies for one in answers)
    say(_formatted(answers, wanted, found, seen_fails=failed))
    _tell(wanted, found)
    return DENIED if failed else FAILED if found.failures else 0


def _beyond_a_portrait(wanted: _Wanted, found: FoundInputs) -> str | None:
    """What is asked that only an index knows."""
    if wanted.kinds:
        return "--kind"
    other = next((one for one in wanted.fail_on if one.casefold() != "any"), None)
    if other is not None:
        return f"--fail-on {other}"
    if wanted.allow:
        return "--allow"
    if any(one.lines is not None for one in found.inputs):
        return "--diff"
    judged = any((wanted.given or wanted.policies.of(one.path)) is not None for one in found.inputs)
    return "a policy" if judged else None


def _recognised(wanted: _Wanted, found: FoundInputs, model: str, portrait: Path) -> list[SeenFile]:
    from attribution.match.portrait import Portrait, trained_documents
    from attribution.match.seen import SeenFile

    loaded, documents = Portrait.load(portrait), trained_documents(portrait.parent)
    answers = []
    for one in found.inputs:
        try:
            seen = loaded.check(one.read())
        except InputError as error:
            found.failures.append((one.name, str(error)))
            continue
        answers.append(
            SeenFile(
                file=one.name,
                model=model,
                portrait=portrait,
                documents=documents,
                share=seen.share,
                copies=tuple(copy for copy in seen.copies if copy[1] >= wanted.min_tokens),
            )
        )
    return answers


def _formatted(
    answers: Sequence[FileAnswer], wanted: _Wanted, found: FoundInputs, *, seen_fails: bool = False
) -> str:
    from attribution.match.report import to_json, to_text
    from attribution.match.sarif import to_sarif

    if wanted.output is Format.JSON:
        return to_json(answers, found.failures)
    if wanted.output is Format.SARIF:
        version = importlib.metadata.version("starcoder-lsp")
        return to_sarif(answers, version=version, failures=found.failures, seen_fails=seen_fails)
    return to_text(answers, limit=wanted.limit)
