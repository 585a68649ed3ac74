"""A conversation as text: its structure survives whatever is said, and the answer ends at the next turn."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import RequestError
from model.fences import FenceState, closed_off, code_blocks, fenced
from model.prompt.conversation import Message, fitted, n_turns, without_oldest
from model.prompt.dialogue import (
    ASSISTANT,
    DIVIDER,
    HUMAN,
    MARKS,
    N_EXAMPLES,
    dialogue,
    mentions_marks,
    sealed,
)
from model.stopping.stopping import StopAt, StopRules, StopState


def user(text: str) -> Message:
    return Message(role="user", text=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", text=text)


# Pieces of which marks and fences are made, so that random texts often hold or border on them.
PIECES = [
    "\n",
    "\n\n",
    " ",
    *MARKS,
    "Human",
    "Hum",
    "----",
    "```",
    "```py",
    "~~~",
    "x",
    ": ",
    "def f():",
    "\r\n",
]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def marks_of(prompt: str) -> list[str]:
    """The marks that count, by the definition: at a line's beginning, outside of fenced code."""
    state, found = FenceState(), []
    for line in prompt.split("\n"):
        mark = next((mark for mark in MARKS if line.startswith(mark)), None)
        if mark and not state.fence:
            found.append(mark)
        state.take(line + "\n")
    return found


class TestPrompt:
    def test_ends_where_the_answer_begins(self) -> None:
        prompt = dialogue([user("Why?"), assistant("Because."), user("And?")])
        assert prompt.endswith("Human: Why?\n\nAssistant: Because.\n\nHuman: And?\n\nAssistant:")
        assert prompt.count(f"\n\n{DIVIDER}\n\n") == N_EXAMPLES + 1

    def test_instructions_stand_before_the_examples(self) -> None:
        prompt = dialogue([Message(role="system", text="Speak French."), user("Why?")])
        assert prompt.index("Speak French.") < prompt.index(DIVIDER)

    def test_code_stays_as_it_is(self) -> None:
        code = "Human:\n  name: x\nAssistant:\n-----\n"
        assert code.rstrip() in dialogue([user("What is this?\n\n" + fenced(code, "yaml"))])

    @given(st.lists(st.tuples(texts, texts), max_size=3), texts)
    def test_its_structure_is_that_of_the_conversation_whatever_is_said(
        self, turns: list[tuple[str, str]], last: str
    ) -> None:
        messages = [side for asked, said in turns for side in (user(asked), assistant(said))]
        prompt = dialogue([*messages, user(last)], n_examples=0)
        assert marks_of(prompt) == [DIVIDER, *(HUMAN, ASSISTANT) * len(turns), HUMAN, ASSISTANT]

    @given(texts)
    def test_sealing_changes_nothing_but_white_space_and_fences(self, text: str) -> None:
        def bare(one: str) -> str:
            return "".join(one.split()).replace("```", "").replace("~~~", "")

        assert bare(sealed(text)) == bare(text)


class TestFences:
    def test_blocks_and_what_is_in_them(self) -> None:
        text = "a\n```py x\n1\n```\n~~~\n```\n~~~\n````\n```\nopen"
        blocks = list(code_blocks(text))
        assert [text[block.start : block.end] for block in blocks] == ["1\n", "```\n", "```\nopen"]
        assert [block.language for block in blocks] == ["py", "", ""]
        assert [block.closed for block in blocks] == [True, True, False]

    def test_a_fence_is_longer_than_any_in_the_code(self) -> None:
        code = "````\n```\n````"
        (block,) = code_blocks(text := fenced(code, "md"))
        assert text[block.start : block.end] == code + "\n"
        assert block.closed

    @given(texts)
    def test_closing_off_leaves_no_block_open(self, text: str) -> None:
        assert all(block.closed for block in code_blocks(closed_off(text)))


def answered(pieces: list[str], *, quoted: bool = False) -> tuple[str, bool]:
    """What is emitted of an answer that comes in these pieces, and whether it was cut."""
    state = StopState(StopRules(stop_at=StopAt.TURN, code_is_quoted=quoted))
    out = ""
    for piece in pieces:
        result = state.push(piece)
        out += result.emit
        if result.finished:
            return out, True
    return out + state.flush(), False


ANSWERS = [
    # (what the model writes, whether the conversation is about such text, the answer)
    (" Yes.\n\nHuman: And?\n\nAssistant: No.", False, " Yes."),
    (" Yes.\nHuman: And?", True, " Yes."),
    (" Yes.\n\n-----\n\nHuman: And?", False, " Yes."),
    (" Yes.\n\nAssistant: Yes.", False, " Yes."),
    (" A Human: is a mark.\n", False, " A Human: is a mark."),
    (" Human: at the beginning is no turn.", False, " Human: at the beginning is no turn."),
    (" Title\n-----\ntext", False, " Title\n-----\ntext"),  # a heading's underline
    (" a\n\n------\n", False, " a\n\n------"),
    (" See:\n```yaml\nHuman: x\n```\nend", True, " See:\n```yaml\nHuman: x\n```\nend"),
    (" See:\n```yaml\nHuman: x\n```\nHuman: y", True, " See:\n```yaml\nHuman: x\n```"),
    (" See:\n```py\nx = 1\n\nHuman: y", False, " See:\n```py\nx = 1"),  # a forgotten fence
    (" See:\n```md\na\n\n-----\nb\n```", False, " See:\n```md\na\n\n-----\nb\n```"),
    (" Yes.\nHum", False, " Yes.\nHum"),
    (" Yes.   \n\n ", False, " Yes."),
    ("\nHuman: y", False, ""),
]


class TestEndOfTheAnswer:
    @pytest.mark.parametrize(("written", "quoted", "expected"), ANSWERS)
    def test_it_is_found_wherever_the_stream_is_cut(self, written: str, quoted: bool, expected: str) -> None:
        assert answered([written], quoted=quoted)[0] == expected
        assert answered(list(written), quoted=quoted)[0] == expected
        for at in range(len(written)):
            assert answered([written[:at], written[at:]], quoted=quoted)[0] == expected, at

    @given(texts, st.lists(st.integers(0, 60), max_size=6), st.booleans())
    def test_what_is_emitted_does_not_depend_on_the_pieces(
        self, text: str, cuts: list[int], quoted: bool
    ) -> None:
        bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        pieces = [text[a:b] for a, b in pairwise(bounds)]
        whole, cut = answered([text], quoted=quoted)
        assert answered(pieces, quoted=quoted) == (whole, cut)
        assert text.startswith(whole)
        lines = whole.split("\n")[1:]
        assert quoted or not any(line.startswith((HUMAN, ASSISTANT)) for line in lines)

    def test_only_a_conversation_about_such_text_may_quote_it(self) -> None:
        assert mentions_marks([user("x"), assistant("Human: y"), user("z")])
        assert not mentions_marks([user("a human asks"), assistant("Humans"), user("z")])


class TestFitting:
    @given(st.integers(1, 40), st.integers(0, 50), st.booleans())
    def test_the_oldest_turns_go_first_and_no_more_than_needed(
        self, turns: int, most: int, has_head: bool
    ) -> None:
        head = [Message(role="system", text="s")] if has_head else []
        said = [side for n in range(turns - 1) for side in (user(f"q{n}"), assistant(f"a{n}"))]
        messages = [*head, *said, user("last")]
        kept = fitted(messages, lambda some: len(some) <= most)
        if most < len(head) + 1:
            assert kept is None
            return
        assert kept is not None
        assert len(kept) <= most
        assert list(kept) == [*head, *messages[len(messages) - (len(kept) - len(head)) :]]
        assert len(kept) + 2 > min(most, len(messages)) or len(kept) == len(messages)

    def test_turns_are_counted_and_left_out_whole(self) -> None:
        messages = [assistant("hello"), user("1"), assistant("a"), assistant("b"), user("2"), user("3")]
        assert n_turns(messages) == 3
        assert without_oldest(messages, 1) == tuple(messages[4:])
        assert without_oldest(messages, 9) == tuple(messages[5:])

    @pytest.mark.parametrize("messages", [[], [assistant("a")], [user("a"), assistant("b")]])
    def test_the_user_must_speak_last(self, messages: list[Message]) -> None:
        with pytest.raises(RequestError, match="the last one must be the user's"):
            fitted(messages, lambda some: True)
