"""vLLM as a contender on a GPU, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import has_weights

_SHARE_OF_MEMORY = 0.45  # of the GPU: the other contenders' models are there, too


class VLLM:
    """Its offline interface. Blocks that it has computed it keeps, like ours.

    Written against vLLM 0.33, which serves this architecture through its adapter for transformers' models.
    Its share of the GPU's memory must be free when it starts: beside others that is so for small models.
    """

    name = "vLLM"
    computes_prompts_again = True  # with every call: it is timed without new tokens, too

    def __init__(self, folder: Path) -> None:
        import vllm  # type: ignore[import-not-found]  # optional, a peer to measure against

        self._vllm: Any = vllm
        self._model: Any = vllm.LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            dtype="bfloat16",
            load_format="auto" if has_weights(folder) else "dummy",
            max_num_seqs=256,
            gpu_memory_utilization=_SHARE_OF_MEMORY,
            enable_prefix_caching=True,
        )

    def _generate(self, prompts: Sequence[Prompt], n_tokens: int) -> list[list[int]]:
        params = self._vllm.SamplingParams(
            max_tokens=n_tokens, temperature=0, ignore_eos=True, detokenize=False
        )
        inputs = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        answers = self._model.generate(inputs, params, use_tqdm=False)
        return [list(answer.outputs[0].token_ids) for answer in answers]

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        self._model.reset_prefix_cache()
        return self._generate([prompt], 1)[0][0]

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`: what it computed of the prompts is in its cache."""
        self._generate(prompts, 1)

        def generate() -> None:
            self._generate(prompts, n_tokens + 1)

        return generate

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        self.prefill(before)
        return lambda: self._generate([after], 1)[0][0]
