"""What llama.vscode asks llama-server, and when: written after its source (ggml-org/llama.vscode, 2025).

Owns its window (256 lines before, 64 after), its ring of excerpts and the fields of its requests, with the
defaults of its settings. What it keeps of earlier answers is left out, as ours is: both answer from
memory while somebody types what is suggested, and no engine is asked. Knows no server.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from benchmarks.replay.session import Stroke
from lsp.documents.documents import Document

_LINES_BEFORE, _LINES_AFTER = 256, 64
_RING_CHUNKS, _CHUNK_LINES, _RING_SCOPE = 16, 64, 1024
_MAX_QUEUED = 16
_FAR_LINES = 32
_LEAST_CHUNK_LINES = 3
_LIMITS = {"t_max_prompt_ms": 500, "t_max_predict_ms": 2500}

Body = dict[str, Any]


@dataclass
class LlamaVscode:
    """One editor window with that extension."""

    max_new_tokens: int = 128
    _chunks: list[dict[str, str]] = field(default_factory=list)
    _queued: list[dict[str, str]] = field(default_factory=list)
    _picked_at: int = -9999
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def idle(self) -> Body | None:
        """What it asks after a rest of seconds: the ring with what was queued, computed ahead."""
        if not self._queued:
            return None
        self._chunks = [*self._chunks, *self._queued][-_RING_CHUNKS:]
        self._queued = []
        return self._body("", "", "") | {"n_predict": 0, "samplers": [], "t_max_predict_ms": 1}

    def after(self, stroke: Stroke) -> Body:
        """Press the key; the request for where the cursor is then."""
        line, start_char = stroke.press()
        lines = [one.rstrip("\r\n") for one in stroke.document.lines]
        here = lines[line]
        prompt = here[:start_char] if here[:start_char].strip(" \t") else ""
        before = lines[max(0, line - _LINES_BEFORE) : line]
        after = lines[line + 1 : line + 1 + _LINES_AFTER]
        body = self._body(
            "\n".join(before) + "\n", here[start_char:] + "\n" + "\n".join(after) + "\n", prompt
        )
        if indent := len(here) - len(here.lstrip()):
            body["n_indent"] = indent
        self._pick_far(stroke.document, lines, line)
        return body

    def _body(self, before: str, after: str, prompt: str) -> Body:
        return {
            "input_prefix": before,
            "input_suffix": after,
            "input_extra": self._chunks,
            "prompt": prompt,
            "n_predict": self.max_new_tokens,
            "top_k": 40,
            "top_p": 0.99,
            "samplers": ["top_k", "top_p", "infill"],
            "cache_prompt": True,
            **_LIMITS,
        }

    def _pick_far(self, document: Document, lines: list[str], line: int) -> None:
        """Queue what lies just outside the window, where the cursor went far."""
        if abs(line - self._picked_at) <= _FAR_LINES:
            return
        self._picked_at = line
        self._pick(document, lines[max(0, line - _RING_SCOPE) : max(0, line - _LINES_BEFORE) + 1])
        below = min(len(lines) - 1, line + _LINES_AFTER)
        self._pick(document, lines[below : below + _CHUNK_LINES + 1])

    def leave(self, document: Document, line: int) -> None:
        """Another file becomes the active one: queue what stands around the cursor."""
        lines = [one.rstrip("\r\n") for one in document.lines]
        half = _CHUNK_LINES // 2
        self._pick(document, lines[max(0, line - half) : line + half + 1])

    def _pick(self, document: Document, lines: list[str]) -> None:
        if len(lines) < _LEAST_CHUNK_LINES:
            return
        if len(lines) + 1 >= _CHUNK_LINES:
            half = _CHUNK_LINES // 2
            start = self._random.randrange(max(1, len(lines) - half + 1))
            lines = lines[start : start + half]
        chunk = {"text": "\n".join(lines) + "\n", "filename": document.path}
        if chunk not in self._chunks and chunk not in self._queued:
            self._queued = [*self._queued, chunk][-_MAX_QUEUED:]
