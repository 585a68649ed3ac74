"""llama.cpp as a contender, where llama-cpp-python is installed: a GGUF file in its own format or another, or
Q8_0 or Q4_0 of the same checkpoint.

`benchmarks/build_llama_cpp` builds it for this CPU; as pip builds it, it leaves out what some CPUs lack.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.contender import Prompt
from benchmarks.engine.models import converted
from model.families.registry import read_config

_MAX_SEQUENCES = 32
_BATCH = 512
_CONTEXT = 2304  # tokens of one sequence: the longest prompt and what follows it


class LlamaCpp:
    """Its C interface: a context, batches of tokens with positions and sequences.

    `quantization` None takes a GGUF file as it is. `alone` has room for one sequence only.
    """

    def __init__(
        self,
        model: Path,
        *,
        quantization: str | None,
        threads: int,
        suffix_first: bool = False,
        alone: bool = False,
    ) -> None:
        import llama_cpp  # type: ignore[import-not-found]  # optional, a peer to measure against

        self._lib: Any = llama_cpp
        self.suffix_first = suffix_first
        self._n_sequences = 1 if alone else _MAX_SEQUENCES
        kind = quantization or "the file's own format"
        self.name = f"llama.cpp, {kind}{', our prompt layout' if suffix_first else ''}"
        # Kept, as the library calls it for as long as it lives.
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, None)
        llama_cpp.llama_backend_init()
        path = self._file(model, quantization)
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {path}; if it was converted, remove it")
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._context = llama_cpp.llama_init_from_model(self._model, self._context_params(threads))
        self._memory = llama_cpp.llama_get_memory(self._context)

    def _file(self, model: Path, quantization: str | None) -> Path:
        """The model in a format, converted once."""
        if quantization is None:
            return model
        write = self._requantize if model.is_file() else write_gguf
        return converted(model, f"{quantization}.gguf", lambda path: write(model, path, quantization))

    def _requantize(self, model: Path, path: Path, quantization: str) -> None:
        params = self._lib.llama_model_quantize_default_params()
        params.ftype = getattr(self._lib, f"LLAMA_FTYPE_MOSTLY_{quantization}")
        params.allow_requantize = True
        if code := self._lib.llama_model_quantize(
            str(model).encode(), str(path).encode(), ctypes.byref(params)
        ):
            raise RuntimeError(f"llama.cpp cannot write {model} as {quantization}: {code}")

    def _context_params(self, threads: int) -> Any:  # a structure of an optional library
        params = self._lib.llama_context_default_params()
        params.n_ctx = self._n_sequences * _CONTEXT
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = self._n_sequences
        params.kv_unified = False  # or every sequence would look through the tokens of all
        params.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it takes longer
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

    def scores(self, ids: Prompt) -> tuple[list[float], list[int]]:
        """Of each token but the first: its log-probability after those before it, and the likeliest there."""
        self._lib.llama_memory_clear(self._memory, True)
        own, likeliest = list[float](), list[int]()
        for first in range(0, len(ids) - 1, _BATCH):
            chunk = ids[first : min(first + _BATCH, len(ids) - 1)]

            def take(row: int, first: int = first) -> None:
                logits = self._logits(row).astype(np.float64)
                highest = logits.max()
                total = highest + np.log(np.exp(logits - highest).sum())
                own.append(float(logits[ids[first + row + 1]] - total))
                likeliest.append(int(logits.argmax()))

            self._compute([(token, first + i, 0) for i, token in enumerate(chunk)], range(len(chunk)), take)
        return own, likeliest

    def _feed(self, tokens: Prompt, start: int, sequence: int = 0) -> int:
        following = [0]
        for first in range(0, len(tokens), _BATCH):
            chunk = tokens[first : first + _BATCH]
            items = [(token, start + first + i, sequence) for i, token in enumerate(chunk)]
            following = self._run(items, every=False)
        return following[-1]

    def _run(self, items: Sequence[tuple[int, int, int]], *, every: bool) -> list[int]:
        """Compute tokens at positions of sequences; the likeliest next token after each, or the last."""
        wanted = range(len(items)) if every else range(len(items) - 1, len(items))
        tokens: list[int] = []
        self._compute(items, wanted, lambda row: tokens.append(int(self._logits(row).argmax())))
        return tokens

    def _compute(
        self, items: Sequence[tuple[int, int, int]], wanted: range, take: Callable[[int], None]
    ) -> None:
        """Compute a batch, and call `take` for each row whose logits are wanted."""
        batch = self._lib.llama_batch_init(len(items), 0, 1)
        try:
            batch.n_tokens = len(items)
            for i, (token, position, sequence) in enumerate(items):
                batch.token[i], batch.pos[i] = token, position
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
                batch.logits[i] = i in wanted
            if code := self._lib.llama_decode(self._context, batch):
                raise RuntimeError(f"llama_decode failed with {code}")
            for row in wanted:
                take(row)
        finally:
            self._lib.llama_batch_free(batch)

    def _logits(self, row: int) -> NDArray[np.float32]:
        logits = self._lib.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(logits, shape=(self._vocab_size,))


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
