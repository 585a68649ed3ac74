"""Where excerpts come from: visited places and open files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsp.context.ring import CHUNK_LINES, RING_CHUNKS, Chunk, ContextRing, chunk_around, jaccard


def file(name: str, count: int) -> list[str]:
    return [f"{name}_{n} = {name}_compute({n}, other)\n" for n in range(count)]


def places(ring: ContextRing) -> list[tuple[str, int]]:
    return [(chunk.path, chunk.start_line) for chunk in ring.places]


def test_a_place_goes_into_the_ring_when_it_is_left() -> None:
    ring = ContextRing()
    a, b = file("a", 500), file("b", 500)
    ring.visited("a.py", "python", a, 100)
    ring.visited("a.py", "python", a, 110)
    assert places(ring) == []
    ring.visited("a.py", "python", a, 300)
    assert places(ring) == [("a.py", 68)]
    ring.visited("b.py", "python", b, 10)
    assert places(ring) == [("a.py", 68), ("a.py", 268)]


def test_a_place_is_kept_as_it_was_when_it_was_left() -> None:
    ring = ContextRing()
    lines = file("a", 100)
    ring.visited("a.py", "python", lines, 50)
    lines[50] = "edited = True\n"
    ring.visited("b.py", "python", file("b", 10), 0)
    lines[50] = "edited = again\n"
    assert "edited = True" in ring.places[0].text


def test_typing_on_does_not_change_the_generation() -> None:
    ring = ContextRing()
    lines = file("a", 100)
    ring.opened("a.py", "python", lines)
    ring.opened("b.py", "python", file("b", 100))
    ring.visited("a.py", "python", lines, 50)
    before = ring.generation
    for _ in range(20):
        ring.changed("a.py", "python", lines)
        ring.visited("a.py", "python", lines, 51)
    assert ring.generation == before


def test_an_edited_file_is_read_again_when_the_user_works_elsewhere() -> None:
    ring = ContextRing()
    lines = file("a", 10)
    ring.opened("a.py", "python", lines)
    ring.visited("a.py", "python", lines, 5)
    lines[5] = "brand_new = 1\n"
    ring.changed("a.py", "python", lines)
    pages = [chunk for chunk in ring.chunks() if chunk.path == "a.py"]
    assert "brand_new" not in pages[0].text
    ring.visited("b.py", "python", file("b", 10), 0)
    assert all("brand_new" in chunk.text for chunk in ring.chunks() if chunk.path == "a.py")


def test_the_ring_is_bounded_and_drops_what_is_there_twice() -> None:
    ring = ContextRing()
    for number in range(40):
        ring.visited(f"{number}.py", "python", file(f"name{number}", 100), 50)
    assert len(ring.places) == RING_CHUNKS
    assert ring.places[-1].path == "38.py"
    again = ContextRing()
    lines = file("a", 300)
    for line in (100, 200, 101, 201, 102):
        again.visited("a.py", "python", lines, line)
    # 100 to 102 are the same place: only its last version stays.
    assert len(again.places) == 2


def test_of_two_similar_chunks_the_older_one_makes_room() -> None:
    ring = ContextRing()
    shared = file("shared", 20)
    twins = {3: "left", 9: "right"}
    for number in range(RING_CHUNKS + 2):
        own = file(twins.get(number, f"name{number}"), 44)
        ring.visited(f"{number}.py", "python", [*shared, *own] if number in twins else own, 20)
    kept = [path for path, _ in places(ring)]
    assert "3.py" not in kept
    assert "9.py" in kept
    assert "0.py" in kept


def test_closed_files_leave_their_visited_places_and_forgotten_ones_leave_nothing() -> None:
    ring = ContextRing()
    lines = file("a", 100)
    ring.opened("a.py", "python", lines)
    ring.visited("a.py", "python", lines, 50)
    ring.visited("b.py", "python", file("b", 10), 0)
    ring.closed("a.py")
    assert [chunk.path for chunk in ring.chunks()] == ["a.py"]
    ring.forget("a.py")
    assert list(ring.chunks()) == []
    ring.forget("b.py")
    ring.visited("c.py", "python", file("c", 10), 0)
    assert list(ring.chunks()) == []


def test_pages_cover_an_open_file_up_to_a_bound() -> None:
    ring = ContextRing()
    ring.opened("a.py", "python", file("a", 150))
    assert [chunk.start_line for chunk in ring.chunks()] == [0, 64, 128]
    ring.opened("huge.py", "python", file("h", 100_000))
    assert sum(chunk.path == "huge.py" for chunk in ring.chunks()) == 16
    for number in range(100):
        ring.opened(f"{number}.py", "python", file("x", 3))
    assert len({chunk.path for chunk in ring.chunks()}) == 32


def test_data_and_empty_places_are_no_chunks() -> None:
    assert chunk_around("a", "json", ["x" * 1000 + "\n"] * 5, 2) is None
    assert chunk_around("a", "python", ["\n", "}\n", "\n"], 1) is None
    assert chunk_around("a", "python", [], 0) is None


@given(st.integers(1, 300), st.integers(0, 299))
def test_a_chunk_holds_its_line_and_is_as_long_as_it_can_be(count: int, line: int) -> None:
    line %= count
    chunk = chunk_around("a.py", "python", file("a", count), line)
    if count < 2:
        assert chunk is None
        return
    assert isinstance(chunk, Chunk)
    rows = chunk.text.split("\n")
    assert chunk.start_line <= line < chunk.start_line + len(rows)
    assert len(rows) == min(count, CHUNK_LINES)


@given(st.frozensets(st.text(max_size=2)), st.frozensets(st.text(max_size=2)))
def test_jaccard(first: frozenset[str], second: frozenset[str]) -> None:
    assert jaccard(first, second) == jaccard(second, first)
    assert 0 <= jaccard(first, second) <= 1
    if first:
        assert jaccard(first, first) == 1
