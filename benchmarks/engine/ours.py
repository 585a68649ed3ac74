"""Our engine as a contender, and its figures that peers have no counterpart of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.engine.contender import Prompt
from model.engine import Engine, EngineOptions, Handle, load_engine
from model.generation import GenerationRequest
from model.sampling import SamplingParams


class Ours:
    """The engine, driven step by step as its thread drives it."""

    suffix_first = True

    def __init__(self, folder: Path, *, quantize: str, threads: int, drafts: bool = False) -> None:
        options = EngineOptions(threads=threads, max_draft=EngineOptions().max_draft if drafts else 0)
        self.engine: Engine = load_engine(folder, device="cpu", quantize=quantize, options=options)
        kind = self.engine.description["quantize"]
        number = self.engine.description["dtype"] if kind == "none" else kind
        self.name = f"ours, {number}{', drafts' if drafts else ''}"

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        self.engine.forget()
        return self._next(prompt)

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`."""
        self.engine.forget()
        handles = [self._submit(prompt, n_tokens + 1) for prompt in prompts]
        waiting = {id(sequence) for handle in handles for sequence in handle.sequences}
        while waiting:
            for handle, delta in self.engine.step():
                if delta.token_ids:
                    waiting -= {id(sequence) for sequence in handle.sequences}
        return self._finish

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        self.engine.forget()
        self._next(before)
        return lambda: self._next(after)

    def _next(self, prompt: Prompt) -> int:
        self._submit(prompt, 1)
        while self.engine.busy:
            for _, delta in self.engine.step():
                if delta.token_ids:
                    return delta.token_ids[0]
        raise AssertionError("the engine ended without a token")

    def _submit(self, prompt: Prompt, n_tokens: int) -> Handle:
        sampling = SamplingParams(max_new_tokens=n_tokens)
        return self.engine.submit(
            GenerationRequest(prompt_ids=list(prompt), sampling=sampling, ignore_eos=True)
        )

    def _finish(self) -> None:
        while self.engine.busy:
            self.engine.step()
