"""How byte-level tokenizers cut a text into words before they merge bytes, and where that can be cut short.

Owns the expressions of the published tokenizers, by the names that GGUF files give them, and for each the
places at which a text can be cut without changing a token: `model.prompt.tokenizer` caches what lies
between. Finds the word at a text's end, too, which what comes next may join. Knows no vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import Regex, pre_tokenizers

from model.errors import TokenizerError, served_elsewhere

# A boundary's expression matches one character and ends where a text may be cut.
# GPT-2's: no alternative matches both a character that is no white space and a line end. (A space would be
# a boundary too, but lines repeat.)
BEFORE_LINE_END = re.compile(r"\S(?=[\r\n])")
# Where punctuation takes the line ends that follow it: white space up to its last line end is in words that
# end there. At the end of a text more of it may come.
AFTER_LINE_END = re.compile(r"[\r\n](?=[^\S\r\n]*\S)")
# Where punctuation takes line ends and slashes.
_AFTER_LINE_END_NO_SLASH = re.compile(r"[\r\n](?!/)(?=[^\S\r\n]*\S)")
NOWHERE = re.compile(r"(?!)")

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_SIGNS}|{_SPACES}"
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
)
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}"
_SEED_CODER = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LEAD = r"[^\r\n\p{L}\p{N}]?"
_SIGNS_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_TEKKEN = rf"{_LEAD}{_UPPER}*{_LOWER}+|{_LEAD}{_UPPER}+{_LOWER}*|\p{{N}}|{_SIGNS_AND_SLASHES}|{_SPACES}"
_GPT_4O = (
    rf"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}|{_SIGNS_AND_SLASHES}|{_SPACES}"
)
_CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
_DEEPSEEK_V3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
)
# Cased letters, which is what the long list of ranges in DeepSeek's own files comes to.
_DEEPSEEK_LETTERS = r"\s?[\p{Lu}\p{Ll}\p{Lt}]+"
_DEEPSEEK_SIGNS = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"
_DEEPSEEK_IDEOGRAPHS = "[一-龥\u0800-一가-\ud7ff]+"


@dataclass(frozen=True)
class PreTokenizer:
    """One way to cut a text into words."""

    splits: tuple[str, ...]
    """Expressions, applied one after another to what the ones before have left together."""
    boundary: re.Pattern[str]
    gpt2: bool = False
    """Whether GPT-2's own expression comes after them."""
    whole_words: bool = False
    """Whether a word that is a token is taken whole, whatever the merges say."""
    begins: bool = False
    """Whether models with it were trained on texts that begin with a token, where a file does not say it."""

    def backend(self) -> pre_tokenizers.PreTokenizer:
        """The same for the `tokenizers` library; the last step spells bytes in GPT-2's alphabet."""
        steps = [
            # The library's own splitting of digits is quicker than an expression.
            pre_tokenizers.Digits(individual_digits=True)
            if split == _DIGIT
            else pre_tokenizers.Split(Regex(split), "isolated")
            for split in self.splits
        ]
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.gpt2)
        return pre_tokenizers.Sequence([*steps, last])


_DIGIT = r"\p{N}"
_GPT2_STYLE = PreTokenizer((), BEFORE_LINE_END, gpt2=True)
_STARCODER_STYLE = PreTokenizer((_DIGIT,), BEFORE_LINE_END, gpt2=True)
_QWEN2_STYLE = PreTokenizer((_QWEN2,), AFTER_LINE_END)
_LLAMA3_STYLE = PreTokenizer((_LLAMA3,), AFTER_LINE_END, whole_words=True, begins=True)
_LLAMA3_MERGED = PreTokenizer((_LLAMA3,), AFTER_LINE_END)
_GPT_4O_STYLE = PreTokenizer((_GPT_4O,), _AFTER_LINE_END_NO_SLASH)

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "mellum", "modern-bert"), _GPT2_STYLE),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"),
        _STARCODER_STYLE,
    ),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), _QWEN2_STYLE),
    "qwen35": PreTokenizer((_QWEN35,), AFTER_LINE_END),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "glm4"), _LLAMA3_STYLE
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), _LLAMA3_MERGED),
    "deepseek-coder": PreTokenizer(
        (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_IDEOGRAPHS, _DIGIT), BEFORE_LINE_END
    ),
    "deepseek-llm": PreTokenizer(
        (r"[\r\n]", _DEEPSEEK_LETTERS, _DEEPSEEK_SIGNS, r"\s+$", _DEEPSEEK_IDEOGRAPHS, r"\p{N}+"),
        BEFORE_LINE_END,
    ),
    **dict.fromkeys(
        ("deepseek-v3", "hunyuan-dense"), PreTokenizer((r"\p{N}{1,3}", _CJK, _DEEPSEEK_V3), AFTER_LINE_END)
    ),
    "seed-coder": PreTokenizer((_SEED_CODER,), AFTER_LINE_END),
    "tekken": PreTokenizer((_TEKKEN,), _AFTER_LINE_END_NO_SLASH, whole_words=True, begins=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), _GPT_4O_STYLE),
}
"""By what a GGUF file calls them."""


def named(name: str | None, file: str) -> PreTokenizer:
    """The one that a GGUF file names. Raises `TokenizerError` for a name that is not known."""
    if name is not None and name in PRE_TOKENIZERS:
        return PRE_TOKENIZERS[name]
    raise TokenizerError(
        f"its pre-tokenizer is {name!r}; known are {', '.join(PRE_TOKENIZERS)}. {served_elsewhere(file)}"
    )


def boundary_of(state: Mapping[str, Any] | None) -> re.Pattern[str]:
    """Where a text may be cut, by the `pre_tokenizer` of a tokenizer.json.

    Raises `TokenizerError` for one that is not among those above.
    """
    steps = _steps(state)
    for known, boundary in _known_steps():
        if steps == known:
            return boundary
    if steps and steps[-1] == _GPT2_STEP and all(step[0] == "Digits" for step in steps[:-1]):
        return BEFORE_LINE_END
    raise TokenizerError(
        f"its pre-tokenizer is {state}; only those of published code models are read here. "
        f"{served_elsewhere()}"
    )


def sentence_piece_words() -> pre_tokenizers.PreTokenizer:
    """Words that no piece reaches out of: SentencePiece keeps letters, digits and signs apart in training."""
    return pre_tokenizers.Split(Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), "isolated")


def parted(words: pre_tokenizers.PreTokenizer, *, by: Collection[str]) -> pre_tokenizers.PreTokenizer:
    """The same where some tokens are found in a text before it is cut into words."""
    if not by:
        return words
    texts = sorted((text.replace("▁", " ") for text in by), key=len, reverse=True)
    found = pre_tokenizers.Split(Regex("|".join(map(re.escape, texts))), "isolated")
    return pre_tokenizers.Sequence([found, words])


def last_word(words: pre_tokenizers.PreTokenizer, text: str) -> str:
    """The end of `text` that may be cut otherwise once more follows: its last word.

    Mostly. `\\n\\nfo` is cut after each line end by GPT-2's expression, but `\\n\\n` alone is one word: there
    the second line end belongs to what is found.
    """
    tail = (
        text[-_SEEN_CHARS:].encode(errors="replace").decode()
    )  # half of a surrogate pair is a character, too
    starts = [start for _, (start, _) in words.pre_tokenize_str(tail)]
    for number in reversed(range(len(starts))):
        kept = words.pre_tokenize_str(tail[: starts[number]])
        if [start for _, (start, _) in kept] == starts[:number]:
            return text[starts[number] - len(tail) :]
    return text


# A word of which less is seen is too long to be of use to anybody.
_SEEN_CHARS = 200
_Step = tuple[object, ...]
_GPT2_STEP: _Step = ("ByteLevel", True, False)


def _steps(state: Mapping[str, Any] | None) -> list[_Step]:
    """What tells pre-tokenizers apart, step by step."""
    if state is None:
        return []
    return [_step(step) for step in state.get("pretokenizers", [state])]


def _step(step: Mapping[str, Any]) -> _Step:
    kind = step.get("type")
    if kind == "ByteLevel":
        return (kind, step.get("use_regex", True), bool(step.get("add_prefix_space")))
    if kind == "Split":
        pattern = step["pattern"].get("Regex")
        return (kind, pattern, str(step["behavior"]).lower(), bool(step.get("invert")))
    return (kind, step.get("individual_digits"))


@cache
def _known_steps() -> list[tuple[list[_Step], re.Pattern[str]]]:
    return [
        (_steps(json.loads(one.backend().__getstate__())), one.boundary)
        for one in {id(one): one for one in PRE_TOKENIZERS.values()}.values()
    ]
