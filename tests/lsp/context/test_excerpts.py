"""The choice of excerpts: similar, within the budget, allowed, and the same at the next key."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lsp.context.excerpts import Excerpt, ExcerptChooser
from lsp.context.ring import ContextRing

USERS = [f"def load_user_{n}(database, user_id):\n" for n in range(30)]
SHAPES = [f"def draw_shape_{n}(canvas, color):\n" for n in range(30)]
HERE = ["from users import load_user_3\n", "\n", "row = load_user_3(database, user_id)\n"]


def chooser(**files: tuple[str, list[str]]) -> tuple[ContextRing, ExcerptChooser]:
    ring = ContextRing()
    for name, (language, lines) in files.items():
        ring.opened(f"{name}.py", language, lines)
    return ring, ExcerptChooser(ring)


def choose(made: ExcerptChooser, line: int = 2, lines: list[str] = HERE, **options: Any) -> list[Excerpt]:
    options = {"budget_chars": 600, "window_lines": (0, len(lines)), **options}
    return list(made.choose("here.py", "python", lines, line, **options))


def test_the_similar_file_is_chosen_and_stands_last() -> None:
    _, made = chooser(users=("python", USERS), shapes=("python", SHAPES))
    chosen = choose(made, budget_chars=4000)
    assert chosen[-1].path == "users.py"
    assert all(excerpt.path != "shapes.py" for excerpt in chosen)


def test_what_is_in_the_prompt_stays_where_it_is() -> None:
    ring, made = chooser(b=("python", USERS[:8]), c=("python", ["total = 1\n", *USERS[8:14]]))
    before = choose(made, budget_chars=4000)
    ring.opened("a.py", "python", ["import os\n", *HERE, *USERS[14:]])
    after = choose(made, budget_chars=4000)
    assert len(after) == len(before) + 1 == 3
    assert after[:2] == before


def test_the_part_with_the_cursors_names_is_cut_out() -> None:
    lines = [*(f"unrelated_{n} = {n}\n" for n in range(40)), *USERS[:10]]
    _, made = chooser(users=("python", lines))
    (excerpt,) = choose(made, budget_chars=300)
    assert "load_user_3" in excerpt.text
    assert lines[excerpt.start_line].rstrip() == excerpt.text.split("\n")[0]


def test_the_own_language_comes_before_others() -> None:
    _, made = chooser(a=("markdown", USERS[:8]), b=("python", USERS[:8]), c=("cython", USERS[:8]))
    assert choose(made)[-1].path == "b.py"


def test_a_name_that_is_everywhere_counts_little() -> None:
    common = [f"logger.info('step {n}')\n" for n in range(10)]
    rare = ["class Accumulator:\n", "    total = 0\n"]
    files = {f"f{n}": ("python", [*common, f"other_{n} = 1\n"]) for n in range(6)}
    _, made = chooser(**files, target=("python", [*common, *rare]))
    here = ["logger.info('x')\n", "value = Accumulator()\n"]
    chosen = list(made.choose("here.py", "python", here, 1, budget_chars=350, window_lines=(0, 2)))
    assert chosen[-1].path == "target.py"


def test_what_the_window_has_is_not_repeated() -> None:
    ring, made = chooser()
    lines = [*HERE, *USERS]
    ring.opened("here.py", "python", lines)
    ring.opened("copy.py", "python", lines)
    assert choose(made, lines=lines) == []
    assert choose(made, lines=lines, window_lines=(0, 3), line=1) == []  # the same choice holds
    far = ExcerptChooser(ring)
    assert choose(far, lines=lines, window_lines=(0, 3), line=1) != []


def test_excluded_files_are_never_used_also_when_they_become_excluded() -> None:
    _, made = chooser(users=("python", USERS))
    assert choose(made, allowed=lambda path: path != "users.py") == []
    _, made = chooser(users=("python", USERS))
    assert choose(made) != []
    assert choose(made, allowed=lambda path: path != "users.py") == []


def test_the_choice_stays_while_the_user_types() -> None:
    ring, made = chooser(users=("python", USERS), shapes=("python", SHAPES))
    lines = list(HERE)
    first = choose(made, lines=lines)
    for text in ("draw_shape_1", "draw_shape_1(canvas", "draw_shape_1(canvas, color)"):
        lines.append(text + "\n")
        ring.visited("here.py", "python", lines, len(lines) - 1)
        ring.changed("here.py", "python", lines)
        assert choose(made, line=len(lines) - 1, lines=lines) == first
    far = [*lines, *["\n"] * 80, "draw_shape_1(canvas, color)\n"]
    moved = choose(made, line=len(far) - 1, lines=far, window_lines=(len(far) - 40, len(far)))
    assert moved[-1].path == "shapes.py"


def test_a_new_document_changes_the_choice_only_if_it_is_better() -> None:
    ring, made = chooser(users=("python", USERS))
    first = choose(made)
    ring.opened("twin.py", "python", [line.replace("def", "async def") for line in USERS])
    assert choose(made) == first
    ring.opened("best.py", "python", [*HERE[2:], "database = connect()\n", "user_id = 7\n"])
    assert choose(made) != first


def test_each_document_has_its_own_choice() -> None:
    _, made = chooser(users=("python", USERS), shapes=("python", SHAPES))
    first = choose(made)
    other = ["draw_shape_4(canvas, color)\n"]
    made.choose("other.py", "python", other, 0, budget_chars=600, window_lines=(0, 1))
    assert choose(made) == first
    made.forget("here.py")
    assert choose(made) == first


names = st.sampled_from(["alpha", "beta", "gamma", "delta", "load_user", "database"])
rows = st.lists(st.builds(lambda a, b: f"{a} = {b}()\n", names, names), min_size=1, max_size=90)


@given(files=st.lists(rows, max_size=5), here=rows, budget=st.integers(0, 3000))
def test_the_budget_is_kept_and_excerpts_are_parts_of_their_files(
    files: list[list[str]], here: list[str], budget: int
) -> None:
    contents = {f"f{n}": ("python", lines) for n, lines in enumerate(files)}
    _, made = chooser(**contents)
    chosen = choose(made, line=0, lines=here, budget_chars=budget, window_lines=(0, 1))
    assert sum(len(excerpt.text) + len(excerpt.path) for excerpt in chosen) <= budget
    for excerpt in chosen:
        text = "".join(contents[excerpt.path.removesuffix(".py")][1])
        assert excerpt.text in text
    assert choose(made, line=0, lines=here, budget_chars=budget, window_lines=(0, 1)) == chosen
