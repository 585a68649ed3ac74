"""transformers' GPTBigCode as a contender: its own forward with its own cache, greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM
from transformers.utils import logging as transformers_logging

from benchmarks.engine.contender import Prompt
from model.checkpoint import dense_state


class Transformers:
    """`GPTBigCodeForCausalLM` in one number type. A keystroke computes everything again: `generate` has
    nothing to keep between two calls."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, threads: int) -> None:
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        config = GPTBigCodeConfig.from_pretrained(folder)
        model: Any = GPTBigCodeForCausalLM(config)  # transformers is annotated in part only
        model = model.to(dtype)
        model.load_state_dict(dense_state(folder, dtype), strict=False)  # the head is tied to the embedding
        model.tie_weights()
        self._model = model.eval()
        self._threads = threads
        self.name = f"transformers, {str(dtype).removeprefix('torch.')}"

    @torch.inference_mode()
    def _forward(self, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        torch.set_num_threads(self._threads)
        out = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values  # [B, 1]

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        token, _ = self._forward(torch.tensor([list(prompt)]), None)
        return int(token)

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`."""
        token, cache = self._forward(torch.tensor([list(prompt) for prompt in prompts]), None)

        def generate() -> None:
            following, kept = token, cache
            for _ in range(n_tokens):
                following, kept = self._forward(following, kept)

        return generate

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        return lambda: self.prefill(after)
