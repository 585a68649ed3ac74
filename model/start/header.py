"""What a model's files say before a weight is read: whether they can be loaded, and what as.

An engine's load begins with it, and `starcoder-lsp doctor` ends there. Chooses nothing and computes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.errors import TokenizerError
from model.families.config import ModelConfig
from model.gguf.files import Gguf
from model.prompt.chat_template import ChatTemplate
from model.prompt.gguf_tokenizer import gguf_tokenizer
from model.prompt.tokenizer import Tokenizer
from model.prompt.tokenizer_config import read_tokenizer_config
from model.weights.opening import ModelFiles, describe, open_files, open_weights
from model.weights.weight_files import Weights


@dataclass(frozen=True, kw_only=True)
class Header:
    """A model that can be loaded."""

    files: ModelFiles
    config: ModelConfig
    tokenizer: Tokenizer
    template: ChatTemplate | None
    """None: a base model."""
    weights: Weights
    """All that the configuration asks for, of its shapes."""

    @property
    def path(self) -> Path:
        """Its folder or file."""
        return self.files.path if isinstance(self.files, Gguf) else self.files


def read_header(files: ModelFiles) -> Header:
    """Open the parts of a model and check that they belong together. Raises `ModelError` with the remedy."""
    files = files if isinstance(files, Gguf) else open_files(files)
    config = describe(files)
    tokenizer, template = _texts(files)
    header = Header(
        files=files,
        config=config,
        tokenizer=tokenizer,
        template=template,
        weights=open_weights(files, config),
    )
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"{header.path}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    header.weights.check(config.family.shapes(config))
    return header


def _texts(files: ModelFiles) -> tuple[Tokenizer, ChatTemplate | None]:
    if isinstance(files, Gguf):
        return gguf_tokenizer(files.metadata), ChatTemplate.of_gguf(files.metadata)
    said = read_tokenizer_config(files)
    return Tokenizer.from_folder(files, said), ChatTemplate.of_folder(files, said)
