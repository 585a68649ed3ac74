"""Our engine as a contender, and its figures that peers have no counterpart of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import has_weights
from model.engine.engine import Engine, EngineOptions, Handle
from model.engine.generation import Delta, GenerationRequest
from model.families.registry import read_config
from model.runner.sampling import SamplingParams
from model.start.load import load_engine

if TYPE_CHECKING:
    from model.pytorch.causal_lm import CausalLM
    from model.pytorch.device import Placement


class Ours:
    """The engine, driven step by step as its thread drives it."""

    suffix_first = True

    def __init__(
        self, folder: Path, *, quantize: str, threads: int, drafts: bool = False, device: str = "cpu"
    ) -> None:
        options = EngineOptions(
            threads=threads,
            max_draft=EngineOptions().max_draft if drafts else 0,
            max_batch=256,
            kv_cache_bytes=(512 if device == "cpu" else 1024) * 2**20,
        )
        self.engine: Engine = (
            load_engine(folder, device=device, quantize=quantize, options=options)
            if has_weights(folder)
            else _random_engine(folder, device, options)
        )
        kind = self.engine.description["quantize"]
        number = self.engine.description["dtype"] if kind == "none" else kind
        step = self.engine.description["step"]
        also = [word for word in ("graphs", "compiled") if device == "cuda" and word in step]
        self.name = ", ".join(["ours", number, *(["drafts"] if drafts else []), *also])

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        self.engine.forget()
        return self._next(prompt)

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`."""
        self.engine.forget()
        for prompt in prompts:  # one by one, or the first would end while the last are being computed
            self._next(prompt)
        for prompt in prompts:
            self._submit(prompt, n_tokens + 1)
        begun = [len(delta.token_ids) for _, delta in self.engine.step()]
        if begun != [1] * len(prompts):
            raise RuntimeError(f"{len(prompts)} streams did not begin together: {begun}")
        return self._finish

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        self.engine.forget()
        self._next(before)
        return lambda: self._next(after)

    def scores(self, ids: Prompt) -> tuple[list[float], list[int]]:
        """Of each token but the first: its log-probability after those before it, and the likeliest there."""
        sampling = SamplingParams(max_new_tokens=1, logprobs=1)
        self.engine.submit(GenerationRequest(prompt_ids=list(ids), sampling=sampling, scores_prompt=True))
        found = [delta.prompt_scores for delta in self._all_deltas() if delta.prompt_scores is not None]
        return found[0].logprobs, [next(iter(top)) for top in found[0].top]

    def _next(self, prompt: Prompt) -> int:
        self._submit(prompt, 1)
        for delta in self._all_deltas():
            if delta.token_ids:
                return delta.token_ids[0]
        raise AssertionError("the engine ended without a token")

    def _submit(self, prompt: Prompt, n_tokens: int) -> Handle:
        sampling = SamplingParams(max_new_tokens=n_tokens)
        return self.engine.submit(
            GenerationRequest(prompt_ids=list(prompt), sampling=sampling, ignore_eos=True)
        )

    def _all_deltas(self) -> Iterator[Delta]:
        while self.engine.busy:
            yield from (delta for _, delta in self.engine.step())

    def _finish(self) -> None:
        for _ in self._all_deltas():
            pass


def _random_engine(folder: Path, device: str, options: EngineOptions) -> Engine:
    """An engine for a shape whose weights are made where they are used."""
    from model.prompt.tokenizer import Tokenizer
    from model.pytorch.torch_runner import TorchRunner

    return Engine(TorchRunner(*_random_model(folder, device)), Tokenizer.from_folder(folder), options)


@functools.cache  # ways to decode the same weights share them: three copies of 31 GB would fit no GPU
def _random_model(folder: Path, device: str) -> tuple[CausalLM, Placement]:
    import torch

    from model.pytorch.device import choose_placement
    from model.pytorch.modules import build

    config = read_config(folder)
    placement = choose_placement(n_parameters=config.n_parameters, device=device, quantize="none")
    torch.set_default_dtype(placement.dtype)
    try:
        with torch.device(placement.device):
            model = build(config).requires_grad_(False).eval()
            model.init_weights()
    finally:
        torch.set_default_dtype(torch.float32)
    return model, placement
