"""CTranslate2 as a contender, where it is installed: int8 weights, converted from the same checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import converted


class CTranslate2:
    """Its generator works in tokens' texts, so each id is given its number as text."""

    name = "CTranslate2, int8"
    computes_prompts_again = True  # with every call: it is timed without new tokens, too

    def __init__(self, folder: Path, *, threads: int) -> None:
        import ctranslate2  # type: ignore[import-not-found]  # optional, a peer to measure against

        path = converted(folder, "ctranslate2", lambda path: _convert(folder, path))
        self._generator: Any = ctranslate2.Generator(
            str(path), device="cpu", compute_type="int8", intra_threads=threads
        )

    def _generate(self, prompts: Sequence[Prompt], n_tokens: int) -> list[list[int]]:
        results = self._generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],
            max_length=n_tokens,
            min_length=n_tokens,
            include_prompt_in_result=False,
            end_token=[],
        )
        return [result.sequences_ids[0] for result in results]

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        return self._generate([prompt], 1)[0][0]

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """It cannot go on from a cache: the prompts are computed in the time, too."""

        def generate() -> None:
            self._generate(prompts, n_tokens + 1)

        return generate

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        return lambda: self.prefill(after)


def _convert(folder: Path, target: Path) -> None:
    from ctranslate2.converters.transformers import (  # type: ignore[import-not-found]
        GPTBigCodeMHALoader,
        TransformersConverter,
    )

    class WithoutTokenizer(GPTBigCodeMHALoader):  # type: ignore[misc]  # an untyped library
        """The converter wants a tokenizer only for the list of its tokens."""

        def get_vocabulary(self, model: Any, tokenizer: Any) -> list[str]:
            return [str(token) for token in range(model.config.vocab_size)]

        def set_config(self, config: Any, model: Any, tokenizer: Any) -> None:
            config.bos_token = config.eos_token = config.unk_token = "0"

    converter = TransformersConverter(str(folder))
    converter._load = lambda: _spec(folder, WithoutTokenizer())  # its own loads a tokenizer by name
    converter.convert(str(target), quantization="int8")


def _spec(folder: Path, loader: Any) -> Any:
    from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

    from model.pytorch.checkpoint import dense_state

    model: Any = GPTBigCodeForCausalLM(GPTBigCodeConfig.from_pretrained(folder))
    model.load_state_dict(dense_state(folder), strict=False)
    model.tie_weights()
    return loader(model.eval(), None)
