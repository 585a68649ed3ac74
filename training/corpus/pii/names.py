"""People's names (and whatever else it knows) by a token classification model: optional.

No model comes with this package, and StarPII's terms forbid passing it on: name a folder or a hub
id of one that you may use. Labels follow StarPII, CoNLL (PER) and OntoNotes (PERSON); StarPII's rules
after the model are kept: names of one word stay, and so do user names and what the model calls ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.extras import install_command
from training.corpus.errors import CorpusError
from training.corpus.pii.addresses import is_public_ip
from training.corpus.pii.finding import Finding, PiiKind
from training.corpus.pii.gibberish import is_gibberish

_KINDS = {
    "NAME": PiiKind.NAME,
    "PER": PiiKind.NAME,
    "PERSON": PiiKind.NAME,
    "EMAIL": PiiKind.EMAIL,
    "KEY": PiiKind.KEY,
    "PASSWORD": PiiKind.PASSWORD,
    "IP_ADDRESS": PiiKind.IP,
}
_MIN_CHARS = 4
_MIN_KEY_CHARS = 9
# Windows overlap by so many tokens, so that a name at an edge is whole in one of them.
_OVERLAP_TOKENS = 64


class ModelFinder:
    """Finds personal data with a model of the `transformers` library; made once for each process."""

    def __init__(self, name: str) -> None:
        try:
            from transformers import pipeline
        except ImportError as error:
            raise CorpusError(f"--ner {name} needs transformers: {install_command('training')}") from error
        try:
            classify: Any = pipeline(
                "token-classification", model=name, aggregation_strategy="simple", stride=_OVERLAP_TOKENS
            )
        except (OSError, ValueError) as error:
            raise CorpusError(f"--ner {name}: not a token classification model: {error}") from error
        labels = {str(label).upper() for label in classify.model.config.id2label.values()}
        if not any(label.removeprefix("B-").removeprefix("I-") in _KINDS for label in labels):
            raise CorpusError(
                f"--ner {name}: it finds {', '.join(sorted(labels))}; "
                f"expected a model with a label of {', '.join(_KINDS)}"
            )
        # Tokenizers do not always know how long the model's window is.
        window = getattr(classify.model.config, "max_position_embeddings", 512)
        classify.tokenizer.model_max_length = min(classify.tokenizer.model_max_length, window)
        self._classify = classify

    def __call__(self, text: str) -> Iterator[Finding]:
        """The findings of all windows of a text."""
        for entity in self._classify(text) if text.strip() else ():
            finding = _finding(text, entity)
            if finding is not None:
                yield finding


def _finding(text: str, entity: dict[str, Any]) -> Finding | None:
    kind = _KINDS.get(str(entity["entity_group"]).upper())
    start, end = int(entity["start"]), int(entity["end"])
    if kind is None or not _is_worth_it(kind, text[start:end].strip()):
        return None
    return Finding(kind=kind, start=start, end=end)


def _is_worth_it(kind: PiiKind, value: str) -> bool:
    if len(value) < _MIN_CHARS:
        return False
    if kind is PiiKind.NAME:
        return len(value.split()) > 1
    if kind is PiiKind.KEY:
        return len(value) >= _MIN_KEY_CHARS and is_gibberish(value)
    return kind is not PiiKind.IP or is_public_ip(value)
