"""Holes in programs, and what a model fills them with: greedy, in batches.

Prompts are the editor's, token healing included unless `heal` is off: most holes are at the start of a
line, and a text that was cut there and encoded ends in a line-end token that training hardly ever has
before indentation, which belongs to the same token. Published figures are without healing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.engine.engine import Engine, Handle
from model.engine.generation import GenerationRequest
from model.prompt.fim import FimPrompt, build_prompt, split_healed
from model.prompt.fim_format import FimOrder
from model.runner.sampling import SamplingParams
from model.stopping.stopping import StopRules
from training.errors import EvaluationError

_MAX_NEW_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class LineProblem:
    """A text with one line missing."""

    task_id: str
    prefix: str
    suffix: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where an answer ends, if the model does not end it before."""

    stop: tuple[str, ...] = ("\n",)
    max_new_tokens: int = _MAX_NEW_TOKENS


def complete_lines(
    engine: Engine,
    problems: Sequence[LineProblem],
    order: FimOrder | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    heal: bool = True,
    ends: Ends | None = None,
) -> list[str]:
    """The line the model gives for each problem, without its line end; or what `ends` says.

    Without an order, the model sees only what is before the hole, and no special token.
    """
    ends = ends or Ends()
    index_of: dict[Handle, int] = {}
    answers = [""] * len(problems)
    for index, problem in enumerate(problems):
        prompt = hole_prompt(engine, problem, order, ends, heal=heal)
        request = GenerationRequest(
            prompt_ids=prompt.token_ids,
            healed=prompt.healed,
            sampling=SamplingParams(max_new_tokens=ends.max_new_tokens),
            stop=StopRules(stop=ends.stop),
        )
        index_of[engine.submit(request)] = index
    done = 0
    while engine.busy:
        for handle, delta in engine.step():
            answers[index_of[handle]] += delta.text
            if delta.finish_reason == "error":
                raise EvaluationError(f"{problems[index_of[handle]].task_id}: {delta.error}")
            done += delta.finish_reason is not None
        progress(done, len(problems))
    return answers


def hole_prompt(
    engine: Engine, problem: LineProblem, order: FimOrder | None, ends: Ends, *, heal: bool = True
) -> FimPrompt:
    """What the model is given of a problem."""
    tokenizer, config = engine.tokenizer, engine.config
    limit = config.n_positions - ends.max_new_tokens - len(tokenizer.first_ids)
    if order is not None:
        return build_prompt(
            tokenizer,
            config.family.fim_format(tokenizer.special_ids),
            prefix=problem.prefix,
            suffix=problem.suffix,
            order=order,
            max_prompt_tokens=limit,
            heal=heal,
        )
    text, healed = split_healed(tokenizer, problem.prefix) if heal else (problem.prefix, "")
    ids = [*tokenizer.first_ids, *tokenizer.encode_uncached(text)[-limit:]] or [config.bos_token_id]
    return FimPrompt(token_ids=ids, healed=healed.encode(errors="replace"))
