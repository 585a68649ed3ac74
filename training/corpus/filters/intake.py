"""From what a source holds to documents in the training format, or the reason why not.

The order is the cheapest first: who, which language, how large, which licence, then the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from attribution.source import Source
from training.corpus.errors import CorpusError
from training.corpus.filters.licence_policy import PERMISSIVE_LIST, permissive_policy
from training.corpus.filters.opt_out import read_opt_outs
from training.corpus.filters.options import BuildOptions, paths
from training.corpus.filters.quality import vendored
from training.corpus.formats.commits import commit_of, commit_text
from training.corpus.formats.issues import events_of, issue_text
from training.corpus.formats.notebooks import script_of, structured_text
from training.corpus.records.document import COMMITS, ISSUES, NOTEBOOKS, SCRIPTS, CorpusDocument, Reason
from training.corpus.records.languages import LanguageRule, TableName
from training.corpus.records.reading import FoundFile, FoundRow

IntakeOutcome = CorpusDocument | Reason
# Issues are nobody's licensed code; SPDX's word for "no statement is made".
_NO_STATEMENT = "NOASSERTION"
_HEAD_BYTES = 4096
_NOTEBOOK = ".ipynb"


class Intake:
    """Everything that is decided about one file, issue or commit on its own."""

    def __init__(self, options: BuildOptions) -> None:
        self._options = options
        self._table = options.languages
        self._opt_outs = read_opt_outs(paths(options.opt_out))
        self._licences = permissive_policy(
            paths(options.licences) or (PERMISSIVE_LIST,), unknown_kept=options.unlicensed_kept
        )

    def outcomes(self, found: FoundFile | FoundRow) -> Iterator[tuple[IntakeOutcome, bytes | None]]:
        """(document or reason, key of which only one is kept if that is not the text)."""
        if isinstance(found, FoundFile):
            for outcome in self._of_file(found):
                yield outcome, None
        else:
            yield self._of_issue(found) if found.is_issue else self._of_commit(found)

    def _of_file(self, found: FoundFile) -> Iterator[IntakeOutcome]:
        if found.path.endswith(_NOTEBOOK) and self._options.notebooks:
            yield from self._of_notebook(found)
        else:
            yield self._of_source_file(found)

    def _of_source_file(self, found: FoundFile) -> IntakeOutcome:
        reason = self._why_not_taken(found)
        if reason is not None:
            return reason
        head = (found.data or b"")[:_HEAD_BYTES].decode("utf-8", errors="replace")
        rule = self._table.rule_for(found.path, head)
        if rule is None:
            return Reason.UNKNOWN_LANGUAGE
        if not rule.included:
            return Reason.EXTENSION_EXCLUDED
        if self._options.table is TableName.STARTER and vendored(found.path):
            return Reason.VENDORED
        text = self._licences.why_not(found.license) or self._text_of(found)
        return text if isinstance(text, Reason) else self._filtered(self._document(found, rule, text), rule)

    def _of_notebook(self, found: FoundFile) -> Iterator[IntakeOutcome]:
        reason = self._why_not_taken(found) or self._licences.why_not(found.license)
        text = self._text_of(found) if reason is None else reason
        if isinstance(text, Reason):
            yield text
            return
        if "scripts" in self._options.notebooks:
            yield self._script(found, text)
        if "structured" in self._options.notebooks:
            marked = structured_text(text)
            rule = LanguageRule(language=NOTEBOOKS)
            yield (
                marked
                if isinstance(marked, Reason)
                else replace(self._document(found, rule, marked.text), special=marked.special)
            )

    def _script(self, found: FoundFile, text: str) -> IntakeOutcome:
        script = script_of(text, found.path)
        if isinstance(script, Reason):
            return script
        rule = self._table.rule_for(script[0])
        if rule is None or not rule.included:
            return Reason.UNKNOWN_LANGUAGE
        document = replace(self._document(found, rule, script[1]), path=script[0], language=SCRIPTS)
        return self._filtered(document, rule)

    def _of_issue(self, found: FoundRow) -> tuple[IntakeOutcome, bytes | None]:
        repository = str(found.row.get("repo") or found.row.get("repo_name") or "unknown")
        if self._opted_out(repository):
            return Reason.OPTED_OUT, None
        try:
            title, events = events_of(found.row)
        except CorpusError as error:
            raise CorpusError(f"{found.where}: {error}") from error
        marked = issue_text(title, events)
        if isinstance(marked, Reason):
            return marked, None
        number = found.row.get("issue_number") or found.row.get("issue_id") or ""
        license = str(found.row.get("license") or _NO_STATEMENT)
        path = f"issues/{number}"
        document = _plain_document(repository, path, ISSUES, license, marked.text)
        return replace(document, special=marked.special), None

    def _of_commit(self, found: FoundRow) -> tuple[IntakeOutcome, bytes | None]:
        try:
            commit = commit_of(found.row)
        except CorpusError as error:
            raise CorpusError(f"{found.where}: {error}") from error
        repositories = [name for name in commit.repositories if not self._opted_out(name)]
        if not repositories:
            return Reason.OPTED_OUT, None
        rule = self._table.rule_for(commit.old_file)
        if rule is None or not rule.included:
            return Reason.COMMIT_LANGUAGE, None
        license = str(found.row.get("license") or "")
        marked = self._licences.why_not(license) or commit_text(commit)
        if isinstance(marked, Reason):
            return marked, None
        document = _plain_document(repositories[0], commit.old_file, COMMITS, license, marked.text)
        return replace(document, special=marked.special), commit.key

    def _why_not_taken(self, found: FoundFile) -> Reason | None:
        if not found.is_wanted:
            return Reason.NOT_SELECTED
        return Reason.OPTED_OUT if self._opted_out(found.repository) else None

    def _opted_out(self, repository: str) -> bool:
        return self._opt_outs.cover(Source(repository=repository, path=""))

    def _text_of(self, found: FoundFile) -> str | Reason:
        if found.data is None:
            return Reason.TOO_LARGE
        if b"\0" in found.data:
            return Reason.BINARY
        try:
            return found.data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            return Reason.NOT_UTF8

    def _filtered(self, document: CorpusDocument, rule: LanguageRule) -> IntakeOutcome:
        for check in self._options.filters:
            reason = check(document, rule)
            if reason is not None:
                return reason
        return document

    def _document(self, found: FoundFile, rule: LanguageRule, text: str) -> CorpusDocument:
        return CorpusDocument(
            repository=found.repository,
            path=found.path,
            language=rule.language,
            license=found.license or "unknown",
            package=found.package,
            text=text,
            url=found.url,
            stars=found.stars,
        )


def _plain_document(repository: str, path: str, language: str, license: str, text: str) -> CorpusDocument:
    # Halves of surrogate pairs stand in some issues; a character takes a character's place.
    valid = text.encode("utf-8", errors="replace").decode("utf-8")
    return CorpusDocument(
        repository=repository, path=path, language=language, license=license, package="", text=valid
    )
