"""How published models want a prompt laid out, by what their vocabularies hold."""

from __future__ import annotations

import pytest

from model.errors import TokenizerError
from model.families import sentinels
from model.families.registry import FAMILIES
from model.prompt.fim_format import FimFormat, FimOrder

STARCODER = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>")
# Special tokens in the order of their ids, and the prompt of "P" and "S" in the order that comes first.
LAYOUTS = {
    "gpt_bigcode: StarCoder": (STARCODER, "<fim_prefix><fim_suffix>S<fim_middle>P"),
    "gpt_bigcode: SantaCoder": (
        ("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
        "<fim-prefix><fim-suffix>S<fim-middle>P",
    ),
    "starcoder2: StarCoder2": (
        (*STARCODER[:5], "<repo_name>", "<file_sep>"),
        "<fim_prefix><fim_suffix>S<fim_middle>P",
    ),
    "llama: Granite Code": ((*STARCODER, "<reponame>"), "<fim_prefix>P<fim_suffix>S<fim_middle>"),
    "granite: Granite 3": (("<|end_of_text|>", *STARCODER[1:]), "<fim_prefix>P<fim_suffix>S<fim_middle>"),
    "llama: Mellum": (
        (*STARCODER, "<reponame>", "<user>", "<assistant>"),
        "<fim_suffix>S<fim_prefix>P<fim_middle>",
    ),
    "qwen2: Qwen2.5-Coder": (
        ("<|endoftext|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_sep|>"),
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    ),
    "gemma: CodeGemma": (
        (
            "<pad>",
            "<eos>",
            "<bos>",
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|file_separator|>",
        ),
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    ),
    "llama: DeepSeek-Coder": (
        (
            "<｜begin▁of▁sentence｜>",
            "<｜end▁of▁sentence｜>",
            "<｜fim▁hole｜>",
            "<｜fim▁begin｜>",
            "<｜fim▁end｜>",
        ),
        "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
    ),
    "llama: Code Llama": (
        ("<unk>", "<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
        "▁<PRE>▁<SUF>S▁<MID>P",
    ),
    "llama: Seed-Coder": (
        (
            "<[begin▁of▁sentence]>",
            "<[end▁of▁sentence]>",
            "<[fim-suffix]>",
            "<[fim-prefix]>",
            "<[fim-middle]>",
        ),
        "<[fim-suffix]>S<[fim-prefix]>P<[fim-middle]>",
    ),
    "mistral: Codestral": (
        ("<unk>", "<s>", "</s>", "[INST]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"),
        "[SUFFIX]S[PREFIX]P",
    ),
}


def format_of(model: str) -> tuple[FimFormat, dict[str, int]]:
    ids = {name: number for number, name in enumerate(LAYOUTS[model][0])}
    return FAMILIES[model.partition(":")[0]].fim_format(ids), ids


def written(model: str, order: FimOrder) -> str:
    fim, ids = format_of(model)
    texts = {number: name for name, number in ids.items()} | {1_000: "P", 1_001: "S"}
    return "".join(texts[one] for one in fim.arrange(order, [1_000], [1_001]))


@pytest.mark.parametrize("model", LAYOUTS)
def test_the_order_that_comes_first(model: str) -> None:
    fim, ids = format_of(model)
    assert written(model, fim.orders[0]) == LAYOUTS[model][1]
    assert fim.end_of_text_id == ids[next(name for name in ids if "end" in name or name in ("</s>", "<eos>"))]


def test_code_llama_knows_both_orders() -> None:
    assert format_of("llama: Code Llama")[0].orders == (FimOrder.SPM, FimOrder.PSM)
    assert written("llama: Code Llama", FimOrder.PSM) == "▁<PRE>P▁<SUF>S▁<MID>"


@pytest.mark.parametrize("model", [name for name in LAYOUTS if not name.startswith("gpt_bigcode")])
def test_every_sentinel_and_every_end_ends_an_answer(model: str) -> None:
    fim, ids = format_of(model)
    ends = set(sentinels.end_ids(ids))
    assert {fim.prefix_id, fim.suffix_id, fim.end_of_text_id, fim.middle_id} - {None} <= ends
    begins = {"<s>", "<bos>", "<pad>", "<unk>", "[INST]", "<｜begin▁of▁sentence｜>", "<[begin▁of▁sentence]>"}
    begins |= {"<user>", "<assistant>"}
    assert ends == {number for name, number in ids.items() if name not in begins}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("<s>", "</s>"), r"lacks <\|fim_prefix\|>"),
        (("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>"), r"lacks <\|fim_middle\|>"),
        (("<unk>", "<|startoftext|>", "<|endoftext|>", *STARCODER[1:4], "<filename>"), "lacks a known order"),
    ],
)
def test_what_is_not_known_continues_a_text(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(TokenizerError, match=f"{message}: this model cannot fill in the middle"):
        FAMILIES["llama"].fim_format({name: number for number, name in enumerate(names)})
