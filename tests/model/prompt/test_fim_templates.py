"""How families of models are asked to fill in the middle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.prompt.fim_templates import TEMPLATES, template_name


class TestTemplates:
    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("bigcode/starcoder", "starcoder"),
            ("bigcode/starcoderbase-1b", "starcoder"),
            ("bigcode/starcoder2-15b", "starcoder2"),
            ("starcoder2:3b", "starcoder2"),
            ("bigcode/santacoder", "santacoder"),
            ("codellama/CodeLlama-7b-hf", "codellama"),
            ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek-coder"),
            ("Qwen/Qwen2.5-Coder-7B", "qwen2.5-coder"),
            ("qwen2.5-coder-1.5b-q8_0.gguf", "qwen2.5-coder"),
            ("google/codegemma-2b", "codegemma"),
            ("mistralai/Codestral-22B-v0.1", "codestral"),
            ("ibm-granite/granite-3b-code-base-2k", "granite-code"),
            ("granite-code:3b", "granite-code"),
            ("ibm-granite/granite-4.0-h-micro", "granite"),
            ("meta-llama/Llama-3-8B", None),
        ],
    )
    def test_are_found_by_the_models_name(self, model: str, name: str | None) -> None:
        assert template_name(model) == name

    @pytest.mark.parametrize(
        ("name", "prompt"),
        [
            ("starcoder", "<fim_prefix>P<fim_suffix>S<fim_middle>"),
            ("santacoder", "<fim-prefix>P<fim-suffix>S<fim-middle>"),
            ("codellama", "<PRE> P <SUF>S <MID>"),
            ("deepseek-coder", "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>"),
            ("qwen2.5-coder", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
            ("codestral", "[SUFFIX]S[PREFIX]P"),
            ("granite", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
        ],
    )
    def test_layout(self, name: str, prompt: str) -> None:
        assert TEMPLATES[name].render("P", "S", [], None) == prompt

    def test_files_of_context_stand_in_the_familys_form(self) -> None:
        files = [("a.py", "A"), ("b.py", "B")]
        assert TEMPLATES["starcoder"].render("P", "S", files, "c.py") == (
            "<filename>a.py\nA<|endoftext|><filename>b.py\nB<|endoftext|><filename>c.py\n"
            "<fim_prefix>P<fim_suffix>S<fim_middle>"
        )
        assert TEMPLATES["codestral"].render("P", "S", files, "c.py") == (
            "[SUFFIX]S[PREFIX]+++++ a.py\nA\n+++++ b.py\nB\n+++++ c.py\nP"
        )
        assert (
            TEMPLATES["santacoder"].render("P", "S", files, "c.py")
            == "<fim-prefix>P<fim-suffix>S<fim-middle>"
        )

    @pytest.mark.parametrize("name", TEMPLATES)
    @given(
        parts=st.lists(
            st.sampled_from(["{prefix}", "{text}", "x", " ", *TEMPLATES["starcoder"].specials]), max_size=6
        )
    )
    def test_the_users_text_is_never_a_special_token(self, name: str, parts: list[str]) -> None:
        template = TEMPLATES[name]
        text = "".join([*parts, *template.specials])
        rendered = template.render(text, text, [("p", text)], text)
        empty = template.render("", "", [("p", "")], "")
        for special in template.specials:
            assert rendered.count(special) == empty.count(special)

    def test_code_is_not_a_stop(self) -> None:
        for template in TEMPLATES.values():
            assert not set(template.stops) & {"</s>", "<PRE>", "[PREFIX]", "[SUFFIX]", "//"}
