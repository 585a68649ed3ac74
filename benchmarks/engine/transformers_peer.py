"""transformers as a contender, with GPTBigCode or a GGUF file: its own forward and cache, greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPTBigCodeConfig, GPTBigCodeForCausalLM
from transformers.utils import logging as transformers_logging

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import has_weights
from model.pytorch.checkpoint import dense_state


class Transformers:
    """A model in one number type, that of a GGUF file dequantised.

    A keystroke computes everything again: `generate` has nothing to keep between two calls.
    """

    def __init__(self, folder: Path, *, dtype: torch.dtype, threads: int, device: str = "cpu") -> None:
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model = _of_file(folder, dtype) if folder.is_file() else _of_folder(folder, dtype, device)
        self._model = model.eval()
        self._threads, self._device = threads, device
        self.name = f"transformers, {str(dtype).removeprefix('torch.')}"

    @torch.inference_mode()
    def _forward(self, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        torch.set_num_threads(self._threads)
        out = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values  # [B, 1]

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        token, _ = self._forward(self._ids([prompt]), None)
        return int(token)

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`."""
        token, cache = self._forward(self._ids(prompts), None)

        def generate() -> None:
            following, kept = token, cache
            for _ in range(n_tokens):
                following, kept = self._forward(following, kept)
            following.tolist()  # a GPU has finished when its answer is here

        return generate

    def _ids(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        return torch.tensor([list(prompt) for prompt in prompts], device=self._device)

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        return lambda: self.prefill(after)


def _of_file(path: Path, dtype: torch.dtype) -> Any:
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype)


def _of_folder(folder: Path, dtype: torch.dtype, device: str) -> Any:
    config = GPTBigCodeConfig.from_pretrained(folder)
    config.dtype = dtype
    with torch.device(device):
        make: Any = GPTBigCodeForCausalLM._from_config  # transformers is annotated in part only
        model = make(config)
    if has_weights(folder):
        # The head is tied to the embedding, so it has no entry.
        model.load_state_dict(dense_state(folder, dtype), strict=False)
        model.tie_weights()
    return model
