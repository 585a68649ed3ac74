"""A small model with its tokenizer, and a small repository of somebody's own code, both real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from model.pytorch.checkpoint import save_checkpoint
from model.pytorch.gpt_bigcode import GPTBigCode
from tests.model.tiny import config_with
from tests.training.tiny import document
from training.data.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer

CONFIG = config_with(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2)
KEY = "AKIA" + "Q3EXAMPLEKEY42XY"


def base_model(folder: Path, n_positions: int = CONFIG.n_positions) -> Path:
    """Random weights, a tokenizer of bytes and a few merges, a card that names a licence."""
    config = replace(CONFIG, n_positions=n_positions)
    model = GPTBigCode(config)
    model.init_weights(torch.Generator().manual_seed(3))
    save_checkpoint(folder, config, model.state_dict())
    texts = [document(i)["text"] for i in range(40)]
    save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=290)), folder)
    (folder / "README.md").write_text("---\nlicense: bigcode-openrail-m\n---\n# Base\n", encoding="utf-8")
    (folder / "LICENSE").write_text("BigCode OpenRAIL-M\n", encoding="utf-8")
    return folder


def repository(folder: Path, files: int = 40) -> Path:
    """Python files in two folders, and what must not be learnt."""
    for number in range(files):
        write(folder / "src" / f"part_{number % 2}" / f"file_{number}.py", document(number)["text"])
    write(folder / "src" / "copy.py", document(0)["text"])
    write(folder / ".gitignore", "/build/\n*.log.py\n!kept.log.py\n")
    write(folder / "build" / "made.py", "made = 1\n" * 9)
    write(folder / "src" / "a.log.py", "ignored = 1\n" * 9)
    write(folder / "src" / "kept.log.py", "kept = 1\n" * 9)
    write(folder / "src" / "part_0" / ".gitignore", "/local.py\n")
    write(folder / "src" / "part_0" / "local.py", "local = 1\n" * 9)
    write(folder / "src" / "part_1" / "local.py", f'name = "x"\naws_key = "{KEY}"\n' + "other = 1\n" * 9)
    write(folder / "src" / "secrets.toml", 'password = "hunter2"\n')
    write(folder / "src" / ".hidden" / "file.py", "hidden = 1\n")
    write(folder / "image.py", "")
    (folder / "bytes.py").write_bytes(b"\xff\xfe\x00x = 1\n")
    return folder


def write(path: Path, text: str) -> None:
    """A text file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
