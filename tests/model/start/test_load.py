"""A load reads a model's folder once, whichever code computes the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import processors

from model.engine.engine import Engine
from model.errors import ConfigError, RequestError, TokenizerError
from model.native.library import native_library
from model.serve.chat_protocol import ChatBody, ChatMessage
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody, ContextItem
from model.start.load import load_engine
from tests.model.tiny import write_byte_tokenizer, write_tiny_model

ROOT = Path(__file__).parents[3]
CONTEXT = ContextItem(path="a.py", text="x = 1")
# Counts what is opened, by the interpreter's own audit events.
COUNT_OPENS = """
import sys
from pathlib import Path
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody, ContextItem
from model.start.load import load_engine

opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
engine = load_engine(Path(sys.argv[1]), device="cpu", quantize=sys.argv[2])
names = [Path(path).name for path in opened]
counts = [names.count(name) for name in ("config.json", "tokenizer_config.json")]
print(engine.description["step"].split(",")[0], *counts)
"""


@pytest.mark.parametrize(("quantize", "step"), [("int8", "compiled"), ("none", "pytorch")])
def test_the_configuration_is_read_once_a_load(tmp_path: Path, quantize: str, step: str) -> None:
    if step == "compiled" and native_library() is None:
        pytest.skip("no compiled code here")
    folder = write_tiny_model(tmp_path)
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    run = subprocess.run(
        [sys.executable, "-c", COUNT_OPENS, str(folder), quantize],
        check=True,
        timeout=120,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == [step, "1", "1"]


def test_the_engine_has_what_the_folder_says(tiny_model_folder: Path) -> None:
    engine = load_engine(tiny_model_folder, device="cpu", quantize="none")
    assert isinstance(engine, Engine)
    written = json.loads((tiny_model_folder / "config.json").read_text(encoding="utf-8"))
    assert engine.description["context"] == str(written["n_positions"])


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, vocab_size=256)
    with pytest.raises(TokenizerError, match="the tokenizer has 275 tokens, the model only 256"):
        load_engine(folder, device="cpu", quantize="none")


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    write_byte_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.json does not exist: is .* a model folder\?"):
        load_engine(tmp_path, device="cpu")


def test_a_model_that_cannot_fill_in_continues_a_prompt(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<fim_middle>", "<hole>"))
    engine = load_engine(folder, device="cpu", quantize="none")
    plain = generation_request(CompletionBody(prompt="ab"), engine.tokenizer, engine.config)
    assert plain.prompt_ids == engine.tokenizer.encode("ab")
    for fim in (CompletionBody(prompt="a", suffix="b"), CompletionBody(prompt="a", context=[CONTEXT])):
        with pytest.raises(RequestError, match=r"suffix: the tokenizer lacks <fim_middle>: .* Take one that"):
            generation_request(fim, engine.tokenizer, engine.config)


def test_without_an_order_the_models_own_is_taken(tmp_path: Path) -> None:
    engine = load_engine(write_tiny_model(tmp_path), device="cpu", quantize="none")

    def prompt_of(**order: Any) -> list[int]:
        body = CompletionBody(prompt="x = 1\na = (", suffix=")", **order)
        return list(generation_request(body, engine.tokenizer, engine.config).prompt_ids)

    assert prompt_of() == prompt_of(fim_order="spm") != prompt_of(fim_order="psm")


def test_what_a_tokenizer_puts_before_every_text_begins_each_prompt(tmp_path: Path) -> None:
    """Llama 3's `<|begin_of_text|>`, say."""
    folder = write_tiny_model(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.post_processor = processors.TemplateProcessing(
        single="<gh_stars> $A", special_tokens=[("<gh_stars>", 6)]
    )
    backend.save(str(folder / "tokenizer.json"))
    engine = load_engine(folder, device="cpu", quantize="none")
    bodies = (
        CompletionBody(prompt="x = ", max_tokens=4),
        CompletionBody(prompt="x = ", suffix="\n", max_tokens=4),
        ChatBody(messages=[ChatMessage(role="user", content="Why?")], max_tokens=4),
    )
    for body in bodies:
        ids = generation_request(body, engine.tokenizer, engine.config).prompt_ids
        assert (ids[0], list(ids).count(6)) == (6, 1)
    assert 6 not in engine.tokenizer.encode("x = ")
