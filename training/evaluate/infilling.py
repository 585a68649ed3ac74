"""Exact match on single-line infilling (HumanEval, arXiv 2204.05999, §4.1), greedy, in batches.

A problem is solved when the model gives the missing line exactly; white space around it does not
count (as in SantaCoder's evaluation, arXiv 2301.03988, §6), `exact_match_indented` counts its start
too. Prompts are the editor's, token healing included unless `heal` is off: all these holes are at the
start of a line, and a text that was cut there and encoded ends in a line-end token that training hardly
ever has before indentation, which belongs to the same token. Published figures are without healing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.engine import Engine, Handle
from model.fim import FimPrompt, build_prompt, split_healed
from model.fim_format import FimOrder
from model.generation import GenerationRequest
from model.sampling import SamplingParams
from model.stopping import StopRules
from model.tokenizer import Tokenizer
from training.errors import EvaluationError

_MAX_NEW_TOKENS = 64
_FIELDS = ("task_id", "prompt", "suffix", "canonical_solution")


@dataclass(frozen=True, kw_only=True)
class Problem:
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


@dataclass(frozen=True, kw_only=True)
class InfillingScore:
    """Shares are from 0 to 1."""

    exact_match: float
    exact_match_indented: float
    n_problems: int
    order: str
    healed: bool

    def to_dict(self) -> dict[str, float | int | str]:
        """For JSON."""
        return asdict(self)


def read_problems(path: Path, limit: int | None = None) -> list[Problem]:
    """Read `.jsonl` or `.jsonl.gz`; with `limit`, that many spread evenly. Raises EvaluationError."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = raw.decode().splitlines()
        records = [[json.loads(line)[field] for field in _FIELDS] for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise EvaluationError(f"{path} holds no infilling problems ({error!r})") from error
    problems = [Problem(task_id=t, prefix=p, suffix=s, line=c) for t, p, s, c in records]
    if limit is None or limit >= len(problems):
        return problems
    return [problems[i * len(problems) // limit] for i in range(limit)]


def score_infilling(
    engine: Engine,
    problems: Sequence[Problem],
    order: FimOrder,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    heal: bool = True,
) -> InfillingScore:
    """Greedy decoding of every problem. Raises EvaluationError when there is none."""
    if not problems:
        raise EvaluationError("there are no problems to score")
    answers = complete_lines(engine, problems, order, progress, heal=heal)
    pairs = list(zip(answers, problems, strict=True))
    return InfillingScore(
        exact_match=sum(answer.strip() == problem.line.strip() for answer, problem in pairs) / len(pairs),
        exact_match_indented=sum(answer.rstrip() == problem.line.rstrip() for answer, problem in pairs)
        / len(pairs),
        n_problems=len(pairs),
        order=order.value,
        healed=heal,
    )


def complete_lines(
    engine: Engine,
    problems: Sequence[Problem],
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
    limit = engine.config.n_positions - ends.max_new_tokens
    index_of: dict[Handle, int] = {}
    answers = [""] * len(problems)
    for index, problem in enumerate(problems):
        prompt = _prompt(engine.tokenizer, problem, order, limit, heal=heal)
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


def _prompt(
    tokenizer: Tokenizer, problem: Problem, order: FimOrder | None, limit: int, *, heal: bool
) -> FimPrompt:
    if order is not None:
        return build_prompt(
            tokenizer,
            prefix=problem.prefix,
            suffix=problem.suffix,
            order=order,
            max_prompt_tokens=limit,
            heal=heal,
        )
    prefix, healed = split_healed(problem.prefix) if heal else (problem.prefix, "")
    ids = tokenizer.encode_uncached(prefix)[-limit:] or [tokenizer.eos_id]
    return FimPrompt(token_ids=ids, healed=healed.encode("utf-8", errors="replace"))
