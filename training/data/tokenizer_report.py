"""How well tokenizers compress, language by language, side by side: Markdown from documents.

Characters per token of the same texts; more is better: a longer context in as many tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from model.families.registry import OWN_FAMILY
from training.corpus.records.document import CorpusDocument
from training.data.tokenizer import TOKENIZER_FILE, untrained_tokenizer
from training.errors import EvaluationError

# Enough for three digits; more text of a language only takes longer.
MAX_CHARS = 2_000_000
_BATCH_DOCUMENTS = 64


@dataclass(kw_only=True)
class TokenCounts:
    """Counts by language; `tokens` by (tokenizer's name, language)."""

    documents: Counter[str] = field(default_factory=Counter)
    chars: Counter[str] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)

    def chars_per_token(self, name: str, language: str | None = None) -> float:
        """Of one language, or of all the text (None)."""
        languages = self.chars if language is None else (language,)
        return sum(self.chars[one] for one in languages) / sum(self.tokens[name, one] for one in languages)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a folder; raises EvaluationError."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise EvaluationError(f"{path} does not exist; name the folder of a tokenizer.json")
    return Tokenizer.from_file(str(path))


def measure(
    tokenizers: Mapping[str, Tokenizer], documents: Iterable[CorpusDocument], *, max_chars: int = MAX_CHARS
) -> TokenCounts:
    """Encode the first `max_chars` characters of each language with every tokenizer."""
    measured = TokenCounts()
    for batch in _batches(_first_of_each(documents, measured, max_chars)):
        texts = [document.text for document in batch]
        for name, tokenizer in tokenizers.items():
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            for document, encoding in zip(batch, encoded, strict=True):
                measured.tokens[name, document.language] += len(encoding.ids)
    if not measured.chars:
        raise EvaluationError("there are no documents to measure a tokenizer on")
    return measured


def as_starcoder_has_it(tokenizer: Tokenizer) -> list[str]:
    """What differs from StarCoder's pre-tokenizer, decoder and special tokens; nothing for an exact one."""
    reference = untrained_tokenizer()
    differences = []
    if tokenizer.normalizer is not None:
        differences.append("it has a normalizer")
    probe = "def f(x1):\n\treturn  x1 + 2023 # é 日本 isn't\n"
    if tokenizer.pre_tokenizer is None or (
        tokenizer.pre_tokenizer.pre_tokenize_str(probe) != reference.pre_tokenizer.pre_tokenize_str(probe)
    ):
        differences.append("its pre-tokenizer cuts differently")
    special = OWN_FAMILY.special_tokens
    wrong = [token for number, token in enumerate(special) if tokenizer.id_to_token(number) != token]
    if wrong:
        differences.append(f"{len(wrong)} special tokens have other ids, the first {wrong[0]}")
    return differences


def markdown(tokenizers: Mapping[str, Tokenizer], measured: TokenCounts) -> str:
    """A table with a column for each tokenizer and, of two, their quotient; then what each is."""
    return "\n".join([*_table(list(tokenizers), measured), "", *_notes(tokenizers)]) + "\n"


def _table(names: Sequence[str], measured: TokenCounts) -> Iterator[str]:
    is_pair = len(names) == 2
    quotient = [f"{names[0]} / {names[1]}"] if is_pair else []
    yield "| language | documents | characters | " + " | ".join([*names, *quotient]) + " |"
    yield "|---|--:|--:|" + "--:|" * (len(names) + is_pair)
    rows: list[tuple[str, str | None, int, int]] = [
        (language, language, measured.documents[language], chars)
        for language, chars in measured.chars.most_common()
    ]
    rows.append(("all", None, sum(measured.documents.values()), sum(measured.chars.values())))
    for label, language, documents, chars in rows:
        ratios = [measured.chars_per_token(name, language) for name in names]
        cells = [f"{ratio:.2f}" for ratio in ratios]
        cells += [f"{ratios[0] / ratios[1]:.2f}"] if is_pair else []
        yield f"| {label} | {documents:,} | {chars:,} | {' | '.join(cells)} |"


def _notes(tokenizers: Mapping[str, Tokenizer]) -> Iterator[str]:
    for name, tokenizer in tokenizers.items():
        differences = as_starcoder_has_it(tokenizer)
        same = (
            "pre-tokenizer and special tokens as StarCoder's" if not differences else "; ".join(differences)
        )
        yield f"- {name}: {tokenizer.get_vocab_size():,} tokens, {same}"


def _first_of_each(
    documents: Iterable[CorpusDocument], measured: TokenCounts, max_chars: int
) -> Iterator[CorpusDocument]:
    for document in documents:
        if document.text and measured.chars[document.language] < max_chars:
            measured.documents[document.language] += 1
            measured.chars[document.language] += len(document.text)
            yield document


def _batches(documents: Iterable[CorpusDocument]) -> Iterator[list[CorpusDocument]]:
    batch: list[CorpusDocument] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH_DOCUMENTS:
            yield batch
            batch = []
    if batch:
        yield batch
