"""How other model families want a fill-in-the-middle prompt written, as plain text.

For engines that take only a raw prompt (vLLM, llama.cpp, TGI). Ours builds its prompts from token
ids (`model.prompt.fim`). Knows nothing about HTTP.

Sources: the model cards and papers of each family (StarCoder 2305.06161, StarCoder2 2402.19173 §5,
SantaCoder 2301.03988, Code Llama 2308.12950 §2.3, DeepSeek-Coder 2401.14196 §3.1, Qwen2.5-Coder
2409.12186 §3.2, CodeGemma 2406.11409 §3, Codestral's tokenizer in mistral-common, Granite Code
2405.04324).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FimTemplate:
    """One family's prompt.

    `layout` has the places {context}, {prefix} and {suffix}, `file` has {path} and {text}.
    """

    layout: str
    specials: tuple[str, ...]
    """Texts that the family's tokenizer would read as special tokens."""
    stops: tuple[str, ...] = ()
    """Those of them that end a middle and that no code holds (`x[PREFIX]`, `<PRE>` and `</s>` are code)."""
    file: str | None = None
    """How a file of context is written; None where the family was not trained on several."""
    current_file: str = ""
    """What stands between the context and the file being completed, where there is context."""

    def render(self, prefix: str, suffix: str, context: Sequence[tuple[str, str]], path: str | None) -> str:
        """The raw prompt. Text of the user's never becomes a special token."""
        files = [self._file(name, text) for name, text in context] if self.file else []
        head = self.current_file.replace("{path}", self.defused(path or "")) if files else ""
        # Not str.format: the user's text is full of braces. Split first, so that none of it is replaced in.
        parts = re.split(r"\{(context|prefix|suffix)\}", self.layout)
        texts = {
            "context": "".join(files) + head,
            "prefix": self.defused(prefix),
            "suffix": self.defused(suffix),
        }
        return "".join(texts.get(part, part) for part in parts)

    def _file(self, path: str, text: str) -> str:
        assert self.file is not None
        before, _, rest = self.file.partition("{path}")
        between, _, after = rest.partition("{text}")
        return before + self.defused(path) + between + self.defused(text) + after

    def defused(self, text: str) -> str:
        """`text` with a space in whatever a tokenizer would take for a special token."""
        for special in self.specials:
            if special in text:
                text = text.replace(special, f"{special[0]} {special[1:]}")
        return text


def _plain(
    prefix: str, suffix: str, middle: str, *more: str, file: str | None = None, current: str = ""
) -> FimTemplate:
    """Prefix, suffix, middle, each behind its own token."""
    return FimTemplate(
        layout=f"{{context}}{prefix}{{prefix}}{suffix}{{suffix}}{middle}",
        specials=(*more, prefix, suffix, middle),
        stops=(*more, prefix, suffix, middle),
        file=file,
        current_file=current,
    )


_STARCODER = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_END_OF_TEXT = "<|endoftext|>"
_DEEPSEEK_END = "<｜end▁of▁sentence｜>"

TEMPLATES = {
    "starcoder": _plain(
        *_STARCODER, _END_OF_TEXT, "<filename>",
        file="<filename>{path}\n{text}" + _END_OF_TEXT,
        current="<filename>{path}\n",
    ),
    "starcoder2": _plain(
        *_STARCODER, _END_OF_TEXT, "<file_sep>", "<repo_name>",
        file="<file_sep>{path}\n{text}",
        current="<file_sep>{path}\n",
    ),
    "santacoder": _plain("<fim-prefix>", "<fim-suffix>", "<fim-middle>", _END_OF_TEXT),
    "codellama": FimTemplate(
        layout="<PRE> {prefix} <SUF>{suffix} <MID>",
        specials=("<EOT>", "<PRE>", "<SUF>", "<MID>", "</s>"),
        stops=("<EOT>",),
    ),
    "deepseek-coder": _plain(
        "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", _DEEPSEEK_END,
        file="#{path}\n{text}\n",
        current="#{path}\n",
    ),
    "qwen2.5-coder": _plain(
        "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        _END_OF_TEXT, "<|file_sep|>", "<|repo_name|>", "<|fim_pad|>",
        file="<|file_sep|>{path}\n{text}\n",
        current="<|file_sep|>{path}\n",
    ),
    "codegemma": _plain(
        "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>",
        file="{path}\n{text}<|file_separator|>",
        current="{path}\n",
    ),
    "codestral": FimTemplate(
        layout="[SUFFIX]{suffix}[PREFIX]{context}{prefix}",
        specials=("</s>", "[PREFIX]", "[SUFFIX]", "[MIDDLE]"),
        file="+++++ {path}\n{text}\n",
        current_file="+++++ {path}\n",
    ),
    "granite-code": _plain(*_STARCODER, _END_OF_TEXT),
    "granite": _plain("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|end_of_text|>", "<|fim_pad|>"),
}  # fmt: skip
"""Templates by the name that the setting `engine.fimTemplate` takes."""

# Searched in this order in a model's name without its punctuation; a longer name comes before a
# shorter one that it contains. Later Qwen and Granite releases keep their family's tokens.
_BY_NAME = (
    ("starcoder2", "starcoder2"),
    ("starcoder", "starcoder"),
    ("stablecode", "starcoder"),
    ("santacoder", "santacoder"),
    ("codellama", "codellama"),
    ("deepseekcoder", "deepseek-coder"),
    ("qwen25coder", "qwen2.5-coder"),
    ("qwen3coder", "qwen2.5-coder"),
    ("codegemma", "codegemma"),
    ("codestral", "codestral"),
    ("granitecode", "granite-code"),
    ("granite", "granite"),
)


def template_name(model: str) -> str | None:
    """The template for a model by its name (`bigcode/starcoder2-3b`, `qwen2.5-coder:1.5b-base`)."""
    plain = re.sub(r"[^a-z0-9]", "", model.lower())
    plain = re.sub(r"granite\d+bcode", "granitecode", plain)  # granite-3b-code-base
    return next((name for part, name in _BY_NAME if part in plain), None)
