"""Names are found by a token classification model: a real one, with weights set by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.training.corpus.pii.redacting import redacted
from training.corpus.errors import CorpusError
from training.corpus.pii.finding import Finder, PiiKind
from training.corpus.pii.names import ModelFinder
from training.corpus.pii.redact import FINDERS

NAMES = ("ada", "lovelace", "grace", "hopper")
USERS = ("dragonrider",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT without layers that calls the words of NAMES names and those of USERS user names."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    words = ["[UNK]", "[PAD]", *NAMES, *USERS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    labels = {0: "O", 1: "B-NAME", 2: "I-NAME", 3: "B-USERNAME"}
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=4,
        num_hidden_layers=0,
        num_attention_heads=1,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )
    classifier = BertForTokenClassification(config)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.zero_()
        embeddings = classifier.bert.embeddings
        embeddings.LayerNorm.weight.fill_(1.0)
        for number, word in enumerate(words):
            kind = 2 if word in NAMES else 3 if word in USERS else 0
            embeddings.word_embeddings.weight[number, kind] = 1.0
        classifier.classifier.weight.copy_(torch.eye(4))
    folder = tmp_path_factory.mktemp("ner")
    classifier.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # partly annotated
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    )
    fast.save_pretrained(folder)
    return folder


def test_full_names_are_replaced_single_and_user_names_stay(model: Path) -> None:
    finders: tuple[Finder, ...] = (*FINDERS, ModelFinder(str(model)))
    text = "# by Ada Lovelace <ada@calc-engine.io>\n# thanks to Grace, and dragonrider dragonrider\n"
    clean, replaced = redacted(text, finders)
    assert clean == "# by <NAME> <<EMAIL>>\n# thanks to Grace, and dragonrider dragonrider\n"
    assert [one.kind for one in replaced] == [PiiKind.NAME, PiiKind.EMAIL]


def test_names_are_found_in_every_window_of_a_long_text(model: Path) -> None:
    text = "".join(f"value_{number} = Grace Hopper\n" + "x = 1\n" * 40 for number in range(40))
    clean, replaced = redacted(text, (ModelFinder(str(model)),))
    assert clean.count("<NAME>") == len(replaced) == 40
    assert "Hopper" not in clean


@pytest.mark.parametrize("label", ["PER", "PERSON"])
def test_names_may_be_called_persons(model: Path, tmp_path: Path, label: str) -> None:
    text, finder = "# by Ada Lovelace\n", ModelFinder(str(relabelled(model, tmp_path, NAME=label)))
    assert redacted(text, (finder,))[0] == "# by <NAME>\n"


def test_a_model_that_finds_other_things_is_refused(model: Path, tmp_path: Path) -> None:
    other = relabelled(model, tmp_path, NAME="GENE", USERNAME="PROTEIN")
    with pytest.raises(CorpusError, match=r"it finds B-GENE, B-PROTEIN, I-GENE, O; expected .* PERSON"):
        ModelFinder(str(other))


def relabelled(model: Path, folder: Path, **names: str) -> Path:
    """The same model with other names for what it finds."""
    shutil.copytree(model, folder, dirs_exist_ok=True)
    config = (folder / "config.json").read_text()
    for before, after in names.items():
        config = config.replace(f'-{before}"', f'-{after}"')
    (folder / "config.json").write_text(config)
    return folder


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"--ner .*: not a token classification model"):
        ModelFinder(str(tmp_path))
