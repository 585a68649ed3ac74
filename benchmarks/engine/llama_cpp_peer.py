"""llama.cpp as a contender, where llama-cpp-python is installed: Q8_0 or Q4_0 of the same checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import converted
from model.families.registry import read_config

_MAX_SEQUENCES = 32
_CONTEXT = 2304  # tokens of one sequence: the longest prompt and what follows it


class LlamaCpp:
    """Its C interface: a context, batches of tokens with positions and sequences."""

    def __init__(self, folder: Path, *, quantization: str, threads: int, suffix_first: bool = False) -> None:
        import llama_cpp  # type: ignore[import-not-found]  # optional, a peer to measure against

        self._lib: Any = llama_cpp
        self.suffix_first = suffix_first
        self.name = f"llama.cpp, {quantization}{', our prompt layout' if suffix_first else ''}"
        config = read_config(folder)
        self._vocab_size = config.vocab_size
        path = converted(folder, f"{quantization}.gguf", lambda path: write_gguf(folder, path, quantization))
        # Kept, as the library calls it for as long as it lives.
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, None)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {path}; remove it to have it written anew")
        self._context = llama_cpp.llama_init_from_model(self._model, self._context_params(threads))
        self._memory = llama_cpp.llama_get_memory(self._context)

    def _context_params(self, threads: int) -> Any:  # a structure of an optional library
        params = self._lib.llama_context_default_params()
        params.n_ctx = _MAX_SEQUENCES * _CONTEXT
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = _MAX_SEQUENCES
        params.kv_unified = False  # or every sequence would look through the tokens of all
        params.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # on small shapes it doubles a step
        return params

    def prefill(self, prompt: Prompt) -> int:
        """See `Contender`."""
        self._lib.llama_memory_clear(self._memory, True)
        return self._feed(prompt, 0)

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """See `Contender`."""
        self._lib.llama_memory_clear(self._memory, True)
        tokens = [self._feed(prompt, 0, sequence) for sequence, prompt in enumerate(prompts)]
        length = len(prompts[0])

        def generate() -> None:
            following = list(tokens)
            for step in range(n_tokens):
                items = [(token, length + step, sequence) for sequence, token in enumerate(following)]
                following = self._run(items, every=True)

        return generate

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """See `Contender`."""
        self.prefill(before)
        same = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
            min(len(before), len(after) - 1),
        )

        def answer() -> int:
            self._lib.llama_memory_seq_rm(self._memory, 0, same, -1)
            return self._feed(after[same:], same)

        return answer

    def _feed(self, tokens: Prompt, start: int, sequence: int = 0) -> int:
        following = [0]
        for first in range(0, len(tokens), 512):
            chunk = tokens[first : first + 512]
            items = [(token, start + first + i, sequence) for i, token in enumerate(chunk)]
            following = self._run(items, every=False)
        return following[-1]

    def _run(self, items: Sequence[tuple[int, int, int]], *, every: bool) -> list[int]:
        """Compute tokens at positions of sequences; the likeliest next token after each, or the last."""
        batch = self._lib.llama_batch_init(len(items), 0, 1)
        try:
            batch.n_tokens = len(items)
            for i, (token, position, sequence) in enumerate(items):
                batch.token[i], batch.pos[i] = token, position
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
                batch.logits[i] = every or i == len(items) - 1
            if code := self._lib.llama_decode(self._context, batch):
                raise RuntimeError(f"llama_decode failed with {code}")
            wanted = range(len(items)) if every else [len(items) - 1]
            return [self._likeliest(i) for i in wanted]
        finally:
            self._lib.llama_batch_free(batch)

    def _likeliest(self, row: int) -> int:
        logits = self._lib.llama_get_logits_ith(self._context, row)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocab_size,)).argmax())


def write_gguf(folder: Path, path: Path, quantization: str) -> None:
    """The checkpoint of `folder` in llama.cpp's format, matrices in `quantization` (Q8_0, Q4_0)."""
    import gguf

    from model.pytorch.checkpoint import (
        dense_state,  # needs PyTorch, which no start of llama.cpp should pay for
    )

    config = read_config(folder)
    writer = gguf.GGUFWriter(path, "starcoder")
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.inner_dim)
    writer.add_block_count(config.n_layer)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list([f"t{token}" for token in range(config.vocab_size)])
    writer.add_token_types([gguf.TokenType.NORMAL] * config.vocab_size)
    writer.add_token_merges(["t1 t2"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    kind = gguf.GGMLQuantizationType[quantization]
    for name, tensor in dense_state(folder).items():
        values = tensor.float().numpy()
        matrix = values.ndim == 2 and "wpe" not in name
        # The token embedding is the head, too: llama.cpp keeps it in eight bits where the rest has four.
        used = kind if "wte" not in name else gguf.GGMLQuantizationType.Q8_0
        data = gguf.quants.quantize(values, used) if matrix else values
        writer.add_tensor(_gguf_name(name), data, raw_dtype=used if matrix else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    fixed = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
    in_block = {
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    }
    module, _, kind = name.removeprefix("transformer.").rpartition(".")
    if module in fixed:
        return f"{fixed[module]}.{kind}"
    _, layer, rest = module.split(".", 2)
    return f"blk.{layer}.{in_block[rest]}.{kind}"
