"""llama.cpp's server as a peer, where it is: `llama-server` on the path (or as `LLAMA_SERVER` says)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.llama_server import find_program, running
from benchmarks.machine import peak_mb, processor_s
from tests.model.prompt.test_gguf_tokenizer import MODELS

PROGRAM = find_program(os.environ.get("LLAMA_SERVER"))
MODEL = MODELS / "smollm2-135m.gguf"


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="llama-server is not on the path")
@pytest.mark.skipif(not MODEL.is_file(), reason=f"{MODEL.name} is not on this machine")
async def test_a_prompt_of_ids_is_answered_greedily_and_kept() -> None:
    assert PROGRAM is not None
    body = {"prompt": list(range(300, 332)), "n_predict": 2, "temperature": 0, "cache_prompt": True}
    async with running(PROGRAM, MODEL, threads=1, context_tokens=256) as server:
        assert 0 < server.ready_s < 120
        first, again = [await server.ask("/completion", body) for _ in range(2)]
        assert first.text == again.text != ""
        assert (first.prompt_tokens, first.computed_tokens) == (32, 32)
        assert (again.prompt_tokens, again.computed_tokens) == (32, 1)
        assert 0 < first.first_ms <= first.whole_ms
        assert processor_s(server.pid) > 0
        assert peak_mb(server.pid) > 100
        with pytest.raises(RuntimeError, match="/completion"):
            await server.ask("/completion", {"prompt": -1})


async def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho no such model\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"did not start:\nno such model"):
        async with running(str(program), tmp_path / "a.gguf", threads=1, context_tokens=1):
            raise AssertionError("it started")
