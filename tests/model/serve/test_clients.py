"""Requests as other people's clients build them (docs/clients.md), and what they read of the answer.

Each body is put together as the client's own code does, in its version of the table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from model.local.listen import Listen
from model.serve.prompting import read_fim_text
from model.serve.protocol import CompletionBody
from model.serve.serving import Served, Serving
from model.start.header import read_header
from model.start.load import load_engine
from tests.model.scripted_engine import ScriptedEngine
from tests.model.serving import engine_at, events_of
from tests.model.tiny import write_tiny_model

if TYPE_CHECKING:
    from model.engine.generation import GenerationRequest

PREFIX = "import math\n\n\ndef area(radius):\n"
LINE = "    return math."
SUFFIX = "\n\n\nprint(area(2))\n"
N_TOKENS = 6
EXTRA = [{"text": "PI = 3.14\n", "time": [0, 1], "filename": "constants.py"}]


@pytest.fixture
async def client(
    listen: Listen, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    folder = write_tiny_model(tmp_path_factory.mktemp("model"))
    engine = load_engine(folder, device="cpu", quantize="none")
    async with engine_at(listen, engine, "tiny", fim_text=True) as client:
        yield client


def llama_vim(answer: httpx.Response) -> str:
    read = answer.json()
    names = (
        "prompt_n",
        "prompt_ms",
        "prompt_per_second",
        "predicted_n",
        "predicted_ms",
        "predicted_per_second",
    )
    assert all(f"timings/{name}" in read for name in names), "it shows its line of figures only then"
    assert "truncated" in read
    return str(read["content"])


def llama_vscode(answer: httpx.Response) -> str:
    read = answer.json()
    assert read["timings"]["predicted_n"] == N_TOKENS
    return str(read["content"])


def each_choice(answer: httpx.Response, of: Callable[[dict[str, Any]], str]) -> str:
    """Of every event, as clients do that expect a text in each."""
    *events, done = events_of(answer.text)
    assert done == "[DONE]"
    return "".join(of(json.loads(event)["choices"][0]) for event in events)


def fim_stream(answer: httpx.Response) -> str:
    return each_choice(answer, lambda choice: str(choice["delta"]["content"]))


def text_stream(answer: httpx.Response) -> str:
    return each_choice(answer, lambda choice: str(choice["text"]))


def first_text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["text"])


OF_LLAMA_CPP = {
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
}
FILLING = {
    "llama.vim": (
        "/infill",
        {
            "id_slot": 0,
            "input_prefix": PREFIX,
            "input_suffix": SUFFIX,
            "input_extra": EXTRA,
            "prompt": LINE,
            "n_predict": N_TOKENS,
            "stop": [],
            "n_indent": 4,
            **OF_LLAMA_CPP,
            "t_max_prompt_ms": 500,
            "t_max_predict_ms": 1000,
            "response_fields": [
                "content",
                "timings/prompt_n",
                "timings/prompt_ms",
                "timings/prompt_per_token_ms",
                "timings/prompt_per_second",
                "timings/predicted_n",
                "timings/predicted_ms",
                "timings/predicted_per_token_ms",
                "timings/predicted_per_second",
                "truncated",
                "tokens_cached",
            ],
            "model": "",
        },
        llama_vim,
    ),
    "llama.vscode": (
        "/infill",
        {
            "input_prefix": PREFIX,
            "input_suffix": SUFFIX,
            "input_extra": EXTRA,
            "prompt": LINE,
            "n_predict": N_TOKENS,
            **OF_LLAMA_CPP,
            "n_indent": 4,
            "t_max_prompt_ms": 500,
            "t_max_predict_ms": 2500,
        },
        llama_vscode,
    ),
    "Continue, provider mistral": (
        "/v1/fim/completions",
        {
            "model": "tiny",
            "prompt": PREFIX + LINE,
            "suffix": SUFFIX,
            "max_tokens": N_TOKENS,
            "temperature": 0,
            "stop": ["\n\n\n\n", "/src/"],
            "stream": True,
        },
        fim_stream,
    ),
    "minuet, codestral": (
        "/v1/fim/completions",
        {
            "model": "tiny",
            "stream": True,
            "max_tokens": N_TOKENS,
            "stop": ["\n\n\n\n"],
            "prompt": PREFIX + LINE,
            "suffix": SUFFIX,
        },
        fim_stream,
    ),
    "minuet, openai_fim_compatible": (
        "/v1/completions",
        {
            "model": "tiny",
            "stream": True,
            "max_tokens": N_TOKENS,
            "top_p": 0.9,
            "prompt": PREFIX + LINE,
            "suffix": SUFFIX,
        },
        text_stream,
    ),
    "llm-ls, adaptor openai": (
        "/v1/completions",
        {
            "prompt": f"<fim_prefix>{PREFIX}{LINE}<fim_suffix>{SUFFIX}<fim_middle>",
            "model": "tiny",
            "max_tokens": N_TOKENS,
            "temperature": 0,
            "top_p": 0.95,
            "stop": None,
        },
        first_text,
    ),
}


@pytest.mark.parametrize(("path", "body", "read"), FILLING.values(), ids=FILLING)
async def test_clients_that_fill_in(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], read: Callable[[httpx.Response], str]
) -> None:
    answer = await client.post(path, json=body, headers={"authorization": "Bearer none"})
    assert answer.status_code == 200, answer.text
    context = [{"path": one["filename"], "text": one["text"]} for one in body.get("input_extra", ())]
    ours = {
        "prompt": PREFIX + LINE,
        "suffix": SUFFIX,
        "max_tokens": N_TOKENS,
        "context": context,
        "stop": body.get("stop"),
    }
    wanted = first_text(await client.post("/v1/completions", json=ours))
    assert wanted
    assert read(answer) == wanted


MESSAGES = [
    {"role": "system", "content": "You are an expert coder."},
    {"role": "user", "content": "Modify the code."},
]
CHATTING = {
    "llama.vim, instruct": {
        "id_slot": 3,
        "messages": MESSAGES,
        "min_p": 0.1,
        "temperature": 0.1,
        "samplers": ["min_p", "temperature"],
        "stream": False,
        "cache_prompt": True,
        "max_tokens": 3,  # added here, to be quick
    },
    "llama.vim, warming up": {
        "id_slot": 3,
        "messages": MESSAGES,
        "samplers": [],
        "n_predict": 0,
        "stream": False,
        "cache_prompt": True,
        "response_fields": [""],
    },
    "llama.vscode, edit": {
        "messages": MESSAGES,
        "stream": False,
        "cache_prompt": True,
        "samplers": "edkypmxt",
        "temperature": 0.8,
        "dynatemp_range": 0,
        "dynatemp_exponent": 1,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "typical_p": 1,
        "xtc_probability": 0,
        "xtc_threshold": 0.1,
        "repeat_last_n": 64,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "dry_multiplier": 0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": -1,
        "max_tokens": -1,
        "timings_per_token": False,
        "n_predict": 3,  # added here, to be quick
    },
    "llama.vscode, tools": {
        "messages": MESSAGES,
        "stream": False,
        "temperature": 0.8,
        "top_p": 0.95,
        "tools": [{"type": "function", "function": {"name": "read_file", "parameters": {}}}],
        "tool_choice": "auto",
        "max_tokens": 3,  # added here, to be quick
    },
}


@pytest.mark.parametrize("body", CHATTING.values(), ids=CHATTING)
async def test_clients_that_chat(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json()["choices"][0]["message"]["content"], str)
    assert answer.json()["usage"]["completion_tokens"] <= 3


async def test_a_written_out_prompt_is_computed_ahead_as_others_are(tmp_path: Path) -> None:
    header = read_header(write_tiny_model(tmp_path))
    engine = ScriptedEngine()
    serving = Serving(
        engine,
        Served(name="scripted"),
        prepare=lambda body: cast("GenerationRequest", body),
        token_bytes=header.tokenizer.token_bytes,
        read=partial(read_fim_text, tokenizer=header.tokenizer, config=header.config, fim_text=True),
    )
    prompt = f"<fim_prefix>{PREFIX}{LINE}<fim_suffix>{SUFFIX}<fim_middle>"
    serving.answered(CompletionBody(prompt=prompt), "pi")
    (foreseen,) = engine.foreseen
    assert (foreseen.prompt, foreseen.suffix) == (PREFIX + LINE + "pi", SUFFIX)
    serving.answered(CompletionBody(prompt=PREFIX), "pi")
    assert len(engine.foreseen) == 1, "a bare prompt is continued, and nobody knows what comes next"
    serving.close()
