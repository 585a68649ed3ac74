"""From a checked request body to work for the engine: prompt tokens, sampling and stop rules.

Runs on the engine's side, in the tokenizer's thread. Knows nothing about HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from model.engine.generation import GenerationRequest
from model.errors import ContextLengthError, RequestError, TokenizerError
from model.prompt.fim import MIN_PROMPT_TOKENS, ContextFile, FimPrompt, build_prompt
from model.prompt.fim_format import FimOrder
from model.prompt.fim_text import FimTextReader
from model.runner.sampling import SamplingParams
from model.serve.chat_prompting import ChatPrompter
from model.serve.chat_protocol import ChatBody
from model.stopping.stopping import StopAt, StopRules

if TYPE_CHECKING:
    from model.families.config import ModelConfig
    from model.prompt.chat_template import ChatTemplate
    from model.prompt.fim_format import FimFormat
    from model.prompt.tokenizer import Tokenizer
    from model.serve.protocol import CompletionBody, SamplingBody

# An idle engine computes prompts that take so many times as long as a user would wait for.
_PATIENCE = 8
# How much of a prompt given as token ids the stop rules see: about as much as of a text.
_SEEN_TOKENS = 1_000


def generation_request(
    body: CompletionBody | ChatBody,
    tokenizer: Tokenizer,
    config: ModelConfig,
    template: ChatTemplate | None = None,
    *,
    affordable_tokens: Callable[[int], int] | None = None,
    fim_text: bool = False,
) -> GenerationRequest:
    """Tokenize the prompt and collect the rules. Raises `RequestError` in the wire's spelling.

    `template` is the model's own for chats; None means a base model. `affordable_tokens` says how many tokens
    of a prompt are computed within so many milliseconds. `fim_text`: a prompt with the model's sentinels
    written out fills in the middle, unless its body says otherwise.
    """
    if isinstance(body, ChatBody):
        prompter = ChatPrompter(tokenizer, config.n_positions, template, end_id=_end_id(tokenizer, config))
        return _chat_request(body, prompter)
    body = read_fim_text(body, tokenizer, config, fim_text=fim_text)
    if body.max_tokens >= config.n_positions:
        raise ContextLengthError(
            f"max_tokens = {body.max_tokens} leaves no room for a prompt in this model's "
            f"{config.n_positions} positions: ask for fewer",
            field="max_tokens",
        )
    limit = config.n_positions - body.max_tokens
    if body.max_prompt_ms is None or affordable_tokens is None:
        return _completion_request(body, tokenizer, config, limit)
    longest = max(affordable_tokens(body.max_prompt_ms * _PATIENCE), MIN_PROMPT_TOKENS)
    at_once = max(affordable_tokens(body.max_prompt_ms), MIN_PROMPT_TOKENS)
    request = _completion_request(body, tokenizer, config, min(limit, longest))
    if len(request.prompt_ids) <= at_once or not body.is_fim:
        return request
    shorter = _completion_request(body, tokenizer, config, min(limit, at_once))
    return replace(request, shorter=shorter, max_prompt_ms=body.max_prompt_ms)


def _completion_request(
    body: CompletionBody, tokenizer: Tokenizer, config: ModelConfig, max_prompt_tokens: int
) -> GenerationRequest:
    prompt = _prompt(body, tokenizer, config, max_prompt_tokens)
    return GenerationRequest(
        prompt_ids=prompt.token_ids,
        sampling=_sampling(body, max(body.max_tokens, 1), body.logprobs or 0),
        stop=_stop_rules(body, tokenizer),
        healed=prompt.healed,
        suffix=prompt.suffix,
        keeps_suffix=body.keep_suffix,
        n=body.n,
        ignore_eos=body.ignore_eos,
        echo=_echo(body, tokenizer) if body.echo else None,
        scores_prompt=body.echo and body.logprobs is not None,
    )


def _echo(body: CompletionBody, tokenizer: Tokenizer) -> str:
    prompt = body.prompt
    return prompt if isinstance(prompt, str) else tokenizer.decode(prompt, keep_special=True)


def _chat_request(body: ChatBody, prompter: ChatPrompter) -> GenerationRequest:
    return GenerationRequest(
        prompt_ids=prompter.prompt_ids(body),
        sampling=_sampling(body, prompter.max_tokens(body), 0),
        stop=prompter.stop_rules(body),
        n=body.n,
        ignore_eos=body.ignore_eos,
    )


def _prompt(
    body: CompletionBody, tokenizer: Tokenizer, config: ModelConfig, max_prompt_tokens: int
) -> FimPrompt:
    if not isinstance(body.prompt, str):
        return FimPrompt(token_ids=_checked_ids(body.prompt, tokenizer.vocab_size))
    if not body.is_fim:
        _check_length(body.prompt, tokenizer, config)
        # An empty prompt starts a new document, as in training.
        return FimPrompt(token_ids=tokenizer.encode_whole(body.prompt) or [_end_id(tokenizer, config)])
    fim = _fim_format(tokenizer, config)
    return build_prompt(
        tokenizer,
        fim,
        prefix=body.prompt,
        suffix=body.suffix or "",
        context=[ContextFile(path=item.path, text=item.text) for item in body.context],
        order=FimOrder(body.fim_order) if body.fim_order else fim.orders[0],
        max_prompt_tokens=max_prompt_tokens,
        path=body.path,
        repository=body.repository,
        heal=body.heal,
    )


def read_fim_text(
    body: CompletionBody, tokenizer: Tokenizer, config: ModelConfig, *, fim_text: bool
) -> CompletionBody:
    """The request with prefix and suffix apart, if its prompt has the model's sentinels written out.

    A prompt in exactly such a form is refused where it may not be read: nobody means it as the ordinary text
    that it would be. A request that has been read stays as it is.
    """
    if not isinstance(body.prompt, str) or body.is_fim or body.fim_text is False:
        return body
    try:
        fim = config.family.fim_format(tokenizer.special_ids)
    except TokenizerError:  # a model that was not trained to fill in the middle
        return body
    if fim.middle_id is None:  # nothing marks where its prompts end
        return body
    names = {number: name for name, number in tokenizer.special_ids.items()}
    prefix, suffix, middle = (names[one] for one in (fim.prefix_id, fim.suffix_id, fim.middle_id))
    found = FimTextReader(prefix=prefix, suffix=suffix, middle=middle).read(body.prompt)
    if found is None:
        if body.fim_text:
            raise RequestError(
                f"fim_text = true, but prompt is not {prefix}…{suffix}…{middle} with each of them once",
                field="fim_text",
            )
        return body
    if not (fim_text or body.fim_text):
        raise RequestError(
            f"prompt has {prefix}, {suffix} and {middle} written out: send the text before the cursor as "
            "prompt and the text after it as suffix, or fim_text = true (starcoder-lsp engine --fim-text)",
            field="suffix",
        )
    if found.before:
        raise RequestError(
            f"prompt has {found.before[:40]!r} before its first sentinel: send other files as context",
            field="context",
        )
    if body.echo:
        raise RequestError(
            "echo = true does not go with a prompt that fills in the middle: it is made of several texts",
            field="echo",
        )
    return body.model_copy(update={"prompt": found.prefix, "suffix": found.suffix})


def _check_length(prompt: str, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Refuse what cannot fit before it is encoded, which takes seconds and much memory for some megabytes."""
    if (least := len(prompt) // tokenizer.longest_token_bytes) > config.n_positions:
        raise ContextLengthError(
            f"prompt has {len(prompt)} characters, at least {least} tokens; this model has "
            f"{config.n_positions} positions: send less",
            field="prompt",
        )


def _end_id(tokenizer: Tokenizer, config: ModelConfig) -> int:
    """The token that ends a text, after which the next one begins."""
    return tokenizer.special_ids.get(config.family.end_of_text, config.end_token_ids[0])


def _fim_format(tokenizer: Tokenizer, config: ModelConfig) -> FimFormat:
    try:
        return config.family.fim_format(tokenizer.special_ids)
    except TokenizerError as error:
        remedy = "Without suffix and context it continues the prompt."
        raise RequestError(f"suffix: {error} {remedy}", field="suffix") from error


def _checked_ids(token_ids: list[int], vocab_size: int) -> list[int]:
    if not token_ids:
        raise RequestError("prompt = []: at least one token id is needed", field="prompt")
    for token_id in token_ids:
        if not 0 <= token_id < vocab_size:
            raise RequestError(
                f"prompt holds token id {token_id}: this model has 0 to {vocab_size - 1}", field="prompt"
            )
    return token_ids


def _sampling(body: SamplingBody, max_tokens: int, logprobs: int) -> SamplingParams:
    return SamplingParams(
        max_new_tokens=max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=max(body.top_k, 0),  # vLLM writes "off" as -1
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        seed=body.seed,
        logprobs=logprobs,
    )


def _stop_rules(body: CompletionBody, tokenizer: Tokenizer) -> StopRules:
    prompt = body.prompt
    if not isinstance(prompt, str):
        prompt = tokenizer.decode(prompt[-_SEEN_TOKENS:]) if body.stop_at else ""
    return StopRules.for_cursor(
        prompt,
        body.suffix or "",
        stop=body.stop,
        stop_at=None if body.stop_at is None else StopAt(body.stop_at),
        path=body.path,
        closed_tail=body.closed_tail,
    )
