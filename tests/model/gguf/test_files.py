"""GGUF files of llama.cpp's own package, read back; and files that are not what they claim to be."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CheckpointError
from model.gguf.files import Gguf, peek
from tests.model.gguf.writing import random_blocks, write_gguf

MATRIX = np.arange(6 * 64, dtype=np.float32).reshape(6, 64)
METADATA = {
    "general.name": "tiny",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10_000.0,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.ggml.tokens": ["a", "", "é", "日本", "x" * 300],
    "tokenizer.ggml.scores": [0.0, -1.0, -2.5],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gguf(
        tmp_path / "tiny.gguf",
        metadata=METADATA,
        tensors={
            "token_embd.weight": ("F32", MATRIX),
            "blk.0.ffn_up.weight": ("Q4_K", random_blocks("Q4_K", 4, 512)),
            "output_norm.weight": ("F32", MATRIX[0]),
            "half": ("F16", MATRIX.astype(np.float16)),
        },
    )


class TestReading:
    def test_metadata_by_type(self, path: Path) -> None:
        metadata = Gguf(path).metadata
        assert metadata.text("general.architecture") == "llama"
        assert metadata.integer("llama.block_count") == 2
        assert metadata.number("llama.rope.freq_base") == 10_000
        assert metadata.flag("tokenizer.ggml.add_bos_token") is False
        assert metadata.texts("tokenizer.ggml.tokens") == METADATA["tokenizer.ggml.tokens"]
        scores = metadata.numbers("tokenizer.ggml.scores")
        assert scores is not None
        assert scores.tolist() == [0, -1, -2.5]
        assert metadata.text("llama.missing") is None
        assert metadata.texts("llama.missing") is None
        assert set(metadata) == {"general.architecture", *METADATA}

    @pytest.mark.parametrize(
        ("method", "key", "wanted"),
        [
            ("text", "llama.block_count", "a text"),
            ("integer", "general.name", "a whole number"),
            ("integer", "tokenizer.ggml.add_bos_token", "a whole number"),
            ("number", "general.name", "a number"),
            ("flag", "llama.block_count", "true or false"),
            ("texts", "tokenizer.ggml.scores", "an array of texts"),
            ("numbers", "tokenizer.ggml.tokens", "an array of numbers"),
        ],
    )
    def test_metadata_of_another_type(self, path: Path, method: str, key: str, wanted: str) -> None:
        with pytest.raises(CheckpointError, match=f"tiny.gguf: {key} is not {wanted}"):
            getattr(Gguf(path).metadata, method)(key)

    def test_tensors(self, path: Path) -> None:
        file = Gguf(path)
        shapes = {name: (tensor.shape, tensor.type.name) for name, tensor in file.tensors.items()}
        assert shapes == {
            "token_embd.weight": ((6, 64), "F32"),
            "blk.0.ffn_up.weight": ((4, 512), "Q4_K"),
            "output_norm.weight": ((64,), "F32"),
            "half": ((6, 64), "F16"),
        }
        assert np.array_equal(file.floats("token_embd.weight"), MATRIX)
        assert np.array_equal(file.floats("half"), MATRIX)
        assert np.array_equal(file.floats("output_norm.weight"), MATRIX[0])
        assert np.array_equal(file.blocks("blk.0.ffn_up.weight"), random_blocks("Q4_K", 4, 512))

    def test_everything_the_packages_own_reader_says(self, path: Path) -> None:
        file, theirs = Gguf(path), gguf.GGUFReader(path)
        assert [tensor.name for tensor in theirs.tensors] == list(file.tensors)
        for tensor in theirs.tensors:
            ours = file.tensors[tensor.name]
            assert (ours.begin, ours.n_bytes) == (tensor.data_offset, tensor.n_bytes)
            assert ours.shape == tuple(reversed(tensor.shape.tolist()))

    def test_released_tensors_can_be_read_again(self, tmp_path: Path) -> None:
        big = np.arange(1 << 16, dtype=np.float32).reshape(256, 256)
        file = Gguf(write_gguf(tmp_path / "big.gguf", tensors={"big": ("F32", big)}))
        for _ in range(2):
            assert np.array_equal(file.floats("big"), big)
            file.release("big")

    def test_a_missing_tensor(self, path: Path) -> None:
        with pytest.raises(CheckpointError, match="lacks the tensor nothing"):
            Gguf(path).floats("nothing")

    def test_a_number_type_that_is_not_read(self, tmp_path: Path) -> None:
        rows = random_blocks("IQ2_XS", 2, 256)
        file = Gguf(write_gguf(tmp_path / "m.gguf", tensors={"a.weight": ("IQ2_XS", rows)}))
        with pytest.raises(CheckpointError, match=r"m\.gguf: 'a\.weight' is stored as IQ2_XS; only F32"):
            file.floats("a.weight")

    def test_a_peek_does_not_pass_a_long_array(self, tmp_path: Path) -> None:
        metadata = {"general.file_type": 15, "tokens": ["t"] * 2_000, "later": 1}
        path = write_gguf(tmp_path / "m.gguf", metadata=metadata)
        found = peek(path, {"general.architecture", "general.file_type", "later"})
        assert found == {"general.architecture": "llama", "general.file_type": 15}
        assert peek(path, {"general.architecture"}) == {"general.architecture": "llama"}

    def test_a_text_with_the_mark_that_texts_are_told_apart_by(self, tmp_path: Path) -> None:
        metadata = {"tokens": ["a", "\ufdd0\ufdd1\x00\x00"]}
        file = Gguf(write_gguf(tmp_path / "m.gguf", metadata=metadata))
        with pytest.raises(CheckpointError, match="noncharacters"):
            file.metadata.texts("tokens")

    @given(texts=st.lists(st.text(max_size=12), min_size=1, max_size=30))
    def test_any_texts(self, tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
        path = write_gguf(tmp_path_factory.mktemp("texts") / "m.gguf", metadata={"tokens": texts})
        assert Gguf(path).metadata.texts("tokens") == texts


class TestParts:
    def write(self, folder: Path, **keys: Any) -> list[Path]:
        for number in (0, 1):
            write_gguf(
                folder / f"m-0000{number + 1}-of-00002.gguf",
                metadata={"split.no": number, "split.count": 2, "split.tensors.count": 2} | keys,
                tensors={f"t{number}": ("F32", MATRIX + number)},
            )
        return sorted(folder.iterdir())

    def test_any_part_opens_all(self, tmp_path: Path) -> None:
        for part in self.write(tmp_path):
            file = Gguf(part)
            assert file.path.name == "m-00001-of-00002.gguf"
            assert list(file.tensors) == ["t0", "t1"]
            assert np.array_equal(file.floats("t1"), MATRIX + 1)

    def test_a_missing_part(self, tmp_path: Path) -> None:
        first, second = self.write(tmp_path)
        second.unlink()
        with pytest.raises(CheckpointError, match=r"lacks m-00002-of-00002\.gguf, one of 2 parts"):
            Gguf(first)

    def test_a_part_under_another_name(self, tmp_path: Path) -> None:
        first, _ = self.write(tmp_path)
        with pytest.raises(CheckpointError, match=r"is one of 2 parts: .* NAME-00001-of-00002\.gguf"):
            Gguf(first.rename(tmp_path / "m.gguf"))

    def test_other_numbers_of_tensors(self, tmp_path: Path) -> None:
        first, _ = self.write(tmp_path, **{"split.tensors.count": 3})
        with pytest.raises(CheckpointError, match="hold 2 tensors of 3"):
            Gguf(first)

    def test_a_tensor_in_two_parts(self, tmp_path: Path) -> None:
        first, second = self.write(tmp_path)
        second.write_bytes(first.read_bytes())
        with pytest.raises(CheckpointError, match="both hold the tensor 't0'"):
            Gguf(first)

    @pytest.mark.parametrize(
        "name", ["m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-00001-of-99999.gguf"]
    )
    def test_a_name_that_makes_no_sense(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CheckpointError, match="is called part"):
            Gguf(write_gguf(tmp_path / name))


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def head(*, version: int = 3, tensors: int = 0, pairs: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def described(name: str, shape: list[int], kind: int, begin: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, begin)


def array(kind: int, count: int) -> bytes:
    return text("k") + struct.pack("<IIQ", 9, kind, count)


HUGE = (1 << 64) - 1
HOSTILE = {
    "empty": (b"", "begins with b''"),
    "of another kind": (b"GGJT" + bytes(60), "not a GGUF file"),
    "only the magic": (b"GGUF", "truncated"),
    "version 1": (head(version=1), "GGUF version 1"),
    "version 9": (head(version=9), "GGUF version 9"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "pairs that are not there": (head(pairs=1), "truncated"),
    "too many pairs": (head(pairs=HUGE), "18,446,744,073,709,551,615 keys"),
    "tensors that are not there": (head(tensors=3), "truncated"),
    "too many tensors": (head(tensors=HUGE), "615 tensors"),
    "a long key": (head(pairs=1) + struct.pack("<Q", HUGE), "615 bytes"),
    "a key beyond the end": (head(pairs=1) + struct.pack("<Q", 1000), "truncated"),
    "a value of no type": (head(pairs=1) + text("k") + struct.pack("<I", 77), "value of type 77"),
    "a value cut off": (head(pairs=1) + text("k") + struct.pack("<IH", 4, 1), "truncated"),
    "an array of arrays": (head(pairs=1) + array(9, 2) + array(9, HUGE), "'k' is an array of type 9"),
    "an array of no type": (head(pairs=1) + array(99, 1), "'k' is an array of type 99"),
    "an array of HUGE numbers": (head(pairs=1) + array(4, HUGE), "truncated"),
    "an array of HUGE texts": (head(pairs=1) + array(8, HUGE), "more than 5,000,000 texts"),
    "an array of texts cut off": (head(pairs=1) + array(8, 1_000) + text("a") * 5, "truncated"),
    "a text in an array that is too long": (
        head(pairs=1) + array(8, 2) + text("a") + struct.pack("<Q", HUGE),
        "truncated",
    ),
    "names that are no names": (
        head(tensors=1) + described("a\n\x1b[31mb" + "c" * 100, [], 0),
        r"'a\\n\\x1b\[31mb\w*'… has 0",
    ),
    "a key twice": (head(pairs=2) + 2 * (text("k") + struct.pack("<IB", 0, 1)), "'k' stands in it twice"),
    "an alignment of three": (
        head(pairs=1) + text("general.alignment") + struct.pack("<II", 4, 3),
        "general.alignment = 3",
    ),
    "an alignment that is a text": (
        head(pairs=1) + text("general.alignment") + struct.pack("<I", 8) + text("32"),
        "general.alignment is not a whole number",
    ),
    "no dimensions": (head(tensors=1) + described("t", [], 0), "'t' has 0 dimensions"),
    "many dimensions": (head(tensors=1) + described("t", [1] * 5, 0), "'t' has 5 dimensions"),
    "no rows": (head(tensors=1) + described("t", [32, 0], 0), r"'t' has shape \(0, 32\)"),
    "half a block": (head(tensors=1) + described("t", [33], 2), r"shape \(33,\) in blocks of 32"),
    "an unknown number type": (head(tensors=1) + described("t", [32], 5), "unknown number type 5"),
    "a tensor beyond the end": (head(tensors=1) + described("t", [32], 0), "truncated"),
    "a tensor of HUGE size": (
        head(tensors=1) + described("t", [1 << 62, 1 << 62, 1 << 62], 0) + bytes(64),
        "truncated",
    ),
    "a tensor far out": (head(tensors=1) + described("t", [1], 0, HUGE - 31) + bytes(64), "truncated"),
    "a crooked place": (head(tensors=1) + described("t", [1], 0, 4) + bytes(64), "'t' lies at 4"),
    "two of one name": (head(tensors=2) + 2 * described("t", [1], 0) + bytes(64), "one name"),
    "overlapping": (
        head(tensors=2) + described("a", [16], 0) + described("b", [16], 0, 32) + bytes(256),
        "'b' overlaps another tensor",
    ),
}


class TestHostileFiles:
    @pytest.mark.parametrize("case", HOSTILE)
    def test_one_line_says_what_is_wrong(self, tmp_path: Path, case: str) -> None:
        content, message = HOSTILE[case]
        path = tmp_path / "m.gguf"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message) as raised:
            Gguf(path)
        assert str(raised.value).isprintable()
        assert str(path) in str(raised.value)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.gguf"
        os.mkfifo(pipe)
        with pytest.raises(CheckpointError, match="is not a file"):
            Gguf(pipe)  # and does not wait for somebody to write into it
        with pytest.raises(CheckpointError, match="is not a file"):
            Gguf(tmp_path)
        with pytest.raises(CheckpointError, match="No such file"):
            Gguf(tmp_path / "none.gguf")

    def test_a_huge_file_of_holes_costs_no_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "m.gguf"
        path.write_bytes(head(pairs=1) + array(4, 1 << 34))
        os.truncate(path, 1 << 37)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert len(Gguf(path).metadata) == 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    @given(data=st.data())
    def test_any_damage(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        path = write_gguf(
            folder / "m.gguf",
            metadata=METADATA,
            tensors={"a": ("F32", MATRIX), "b": ("Q4_0", random_blocks("Q4_0", 3, 64))},
        )
        content = bytearray(path.read_bytes())
        length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
        end_of_head = len(content) - MATRIX.nbytes
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, end_of_head))
            content[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 255])))
        path.write_bytes(content[:length])
        complaint = complaint_about(path)
        assert complaint is None or (str(path) in complaint and complaint.isprintable())


def complaint_about(path: Path) -> str | None:
    """Read all that a file has. Nothing but a `CheckpointError` may come of it."""
    try:
        read_everything(Gguf(path))
    except CheckpointError as error:
        return str(error)
    return None


def read_everything(file: Gguf) -> None:
    for key, value in file.metadata.items():
        if isinstance(value, np.ndarray):
            file.metadata.numbers(key)
        elif not isinstance(value, str | int | float):
            file.metadata.texts(key)
    for name in file.tensors:
        file.floats(name)
