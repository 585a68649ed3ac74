"""Bit-packed numbers, and segments of postings made of them."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.errors import IndexDamagedError, IndexFormatError
from attribution.store.embedded import segment_writer
from attribution.store.embedded.segment import SegmentFile, Written, segment_problem
from attribution.store.embedded.segment_writer import merge_segments, write_segment
from attribution.tokens.fingerprint import Channel
from attribution.tokens.packed import GROUP, MAX_BITS, PADDING, PackedArray, pack, packed_bytes

LARGEST = (1 << 48) - 1
# Few and close together, so that several postings share one; and the ends of the range.
FINGERPRINTS = st.one_of(st.integers(0, 3), st.integers(0, LARGEST), st.integers(LARGEST - 2, LARGEST))
# A segment: which fingerprints each of its contents has.
CONTENTS = st.lists(st.sets(FINGERPRINTS, max_size=30), min_size=1, max_size=20)


def packed_array(values: list[int], bits: int, *, before: bytes = b"") -> PackedArray:
    data = before + pack(np.array(values, dtype=np.uint64), bits) + PADDING
    every = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    return PackedArray(lambda at: every[at], len(before), len(values), bits)


@given(st.integers(1, MAX_BITS), st.lists(st.integers(0, 2**64 - 1), max_size=40), st.binary(max_size=3))
def test_packed_numbers_come_back(bits: int, values: list[int], before: bytes) -> None:
    values = [value % (1 << bits) for value in values]
    array = packed_array(values, bits, before=before)
    assert len(array) == len(values)
    assert array.part(0, len(values)).tolist() == values
    backwards = np.arange(len(values))[::-1]
    assert array[backwards].tolist() == values[::-1]
    packed = pack(np.array(values, dtype=np.uint64), bits)
    assert len(packed) == packed_bytes(len(values), bits) == -(-len(values) * bits // 8)


@given(st.integers(1, MAX_BITS), st.integers(0, 5), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_pieces_of_whole_groups_can_be_joined(bits: int, groups: int, values: list[int]) -> None:
    first = np.arange(groups * GROUP, dtype=np.uint64) % np.uint64(1 << bits)
    second = np.array([value % (1 << bits) for value in values], dtype=np.uint64)
    assert pack(first, bits) + pack(second, bits) == pack(np.concatenate([first, second]), bits)


@pytest.mark.parametrize("bits", [0, MAX_BITS + 1])
def test_widths_that_cannot_be_loaded_at_once_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"{bits} bits"):
        pack(np.zeros(1, dtype=np.uint64), bits)


def written(folder: Path, name: str, contents: list[set[int]], first_content: int) -> Written:
    postings = sorted((value, at) for at, values in enumerate(contents) for value in values)
    keys = np.array([value << 16 | at for value, at in postings], dtype=np.uint64)
    ids = np.arange(first_content, first_content + len(contents))
    return write_segment(folder, name, Channel.TEXT, keys, ids)


def expected(contents: list[set[int]], first_content: int) -> dict[int, list[int]]:
    found = defaultdict(list)
    for at, values in enumerate(contents):
        for value in values:
            found[value].append(first_content + at)
    return found


def check(segment: SegmentFile, wanted: dict[int, list[int]]) -> None:
    """Every fingerprint has its contents in order, and no other has any."""
    asked = sorted({*wanted, 0, 1, LARGEST, *((value + 1) & LARGEST for value in wanted)})
    first, last = segment.find(np.array(asked, dtype=np.uint64))
    for value, start, end in zip(asked, first.tolist(), last.tolist(), strict=True):
        assert segment.contents(np.arange(start, end)).tolist() == wanted.get(value, [])
    assert len(segment) == sum(map(len, wanted.values()))
    fingerprints, contents = segment.part(0, LARGEST)
    everything = [(value, content) for value in sorted(wanted) for content in wanted[value]]
    assert list(zip(fingerprints.tolist(), contents.tolist(), strict=True)) == everything


# Also ids that need all 32 bits.
@given(CONTENTS, st.sampled_from([1, 7_000_000, (1 << 32) - 21]))
def test_a_segment_gives_back_what_was_written(contents: list[set[int]], first_content: int) -> None:
    with TemporaryDirectory() as name:
        file = written(Path(name), "a.seg", contents, first_content)
        segment = SegmentFile(Path(name, "a.seg"))
        check(segment, expected(contents, first_content))
        assert segment_problem(Path(name, "a.seg"), file.crc32) is None
        assert segment_problem(Path(name, "a.seg"), file.crc32 ^ 1) is not None
        assert Path(name, "a.seg").stat().st_size == file.disk_bytes


@given(st.lists(CONTENTS, min_size=1, max_size=5), st.integers(0, 1 << 30), st.data())
def test_merged_segments_hold_the_postings_of_all_but_the_dead(
    parts: list[list[set[int]]], gap: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        # Several pieces, whose ends need not be those of buckets.
        patch.setattr(segment_writer, "_MERGE_POSTINGS", 16)
        folder = Path(name)
        wanted: dict[int, list[int]] = defaultdict(list)
        first = 1
        for at, contents in enumerate(parts):
            written(folder, f"{at}.seg", contents, first)
            for value, ids in expected(contents, first).items():
                wanted[value] += ids
            first += len(contents) + gap // len(parts)
        everything = sorted({content for ids in wanted.values() for content in ids})
        dead = data.draw(st.sets(st.sampled_from(everything))) if everything else set()
        kept = {value: [one for one in ids if one not in dead] for value, ids in wanted.items()}
        segments = [SegmentFile(folder / f"{at}.seg") for at in range(len(parts))]
        file = merge_segments(folder, "m.seg", segments, np.array(sorted(dead), dtype=np.uint64))
        merged = SegmentFile(folder / "m.seg")
        check(merged, {value: ids for value, ids in kept.items() if ids})
        assert segment_problem(folder / "m.seg", file.crc32) is None


@pytest.mark.parametrize("megapostings", [0.1, 1])
def test_a_posting_costs_about_six_bytes(tmp_path: Path, megapostings: float) -> None:
    count = int(megapostings * 1e6)
    dice = np.random.default_rng(1)
    values = np.unique(dice.integers(0, 1 << 48, count, dtype=np.uint64))
    # As in source code: 200 postings a file.
    numbers = dice.integers(0, count // 200, len(values), dtype=np.uint64)
    file = write_segment(
        tmp_path, "x.seg", Channel.TEXT, values << np.uint64(16) | numbers, np.arange(1, 1 + count // 200)
    )
    assert file.disk_bytes / count < 6


def test_a_segment_of_another_version_or_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    written(tmp_path, path.name, [{1, 2, 3}], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + b"\x01" + whole[9:])
    with pytest.raises(IndexFormatError, match="not a segment of version 3; build the index again"):
        SegmentFile(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(IndexDamagedError, match="index verify"):
        SegmentFile(path)
    path.write_bytes(whole[:12] + b"\x09" + whole[13:])
    with pytest.raises(IndexDamagedError, match="9 is not a valid Channel"):
        SegmentFile(path)
