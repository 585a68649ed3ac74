"""Models are found where other programs put them, in folders built as theirs are."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from model.catalogue.found import FoundModel, find_models, find_ollama
from model.catalogue.places import Places
from model.gguf.files import Gguf
from tests.model.gguf.writing import write_gguf

TENSORS = {"token_embd.weight": ("F32", np.zeros((2, 32), np.float32))}
DIGEST = "ab" * 32
MODEL_LAYER = "application/vnd.ollama.image.model"


def write_model(path: Path, file_type: int = 15, keys: Mapping[str, object] | None = None) -> Path:
    metadata = {"general.file_type": file_type, **(keys or {})}
    return write_gguf(path, architecture="qwen2", metadata=metadata, tensors=TENSORS)


def write_manifest(
    folder: Path, *name: str, digest: str = f"sha256:{DIGEST}", media: str = MODEL_LAYER
) -> Path:
    path = folder.joinpath("manifests", *name)
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [{"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64}]
    path.write_text(json.dumps({"layers": [*layers, {"mediaType": media, "digest": digest}]}))
    return path


def write_safetensors_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "starcoder2"}')
    (folder / "model.safetensors").write_bytes(bytes(100))


def only(found: list[FoundModel]) -> FoundModel:
    (one,) = found
    return one


class TestOllama:
    def test_a_library_model(self, tmp_path: Path) -> None:
        blob = write_model(tmp_path / "blobs" / f"sha256-{DIGEST}")
        write_manifest(tmp_path, "registry.ollama.ai", "library", "qwen2.5-coder", "1.5b")
        found = only(find_models(Places(ollama=tmp_path)))
        assert (found.name, found.path, found.place) == ("ollama:qwen2.5-coder:1.5b", blob, "Ollama")
        assert (found.architecture, found.quantisation) == ("qwen2", "Q4_K_M")
        assert found.n_bytes == blob.stat().st_size
        assert find_ollama("ollama:qwen2.5-coder:1.5b", tmp_path) == blob
        assert list(Gguf(blob).tensors) == ["token_embd.weight"]

    @pytest.mark.parametrize(
        ("parts", "name"),
        [
            (("registry.ollama.ai", "library", "qwen", "latest"), "ollama:qwen:latest"),
            (("registry.ollama.ai", "someone", "qwen", "7b"), "ollama:someone/qwen:7b"),
            (("hf.co", "someone", "qwen", "q4"), "ollama:hf.co/someone/qwen:q4"),
        ],
    )
    def test_names(self, tmp_path: Path, parts: tuple[str, ...], name: str) -> None:
        blob = write_model(tmp_path / "blobs" / f"sha256-{DIGEST}")
        write_manifest(tmp_path, *parts)
        assert only(find_models(Places(ollama=tmp_path))).name == name
        assert find_ollama(name, tmp_path) == blob
        assert find_ollama(name.removesuffix(":latest"), tmp_path) == blob

    @pytest.mark.parametrize(
        "digest", ["sha256:../../secret", "sha256:" + "g" * 64, "", "../blobs/sha256-" + DIGEST, DIGEST]
    )
    def test_a_manifest_that_leads_elsewhere(self, tmp_path: Path, digest: str) -> None:
        write_model(tmp_path / "blobs" / f"sha256-{DIGEST}")
        write_manifest(tmp_path, "registry.ollama.ai", "library", "m", "latest", digest=digest)
        assert find_models(Places(ollama=tmp_path)) == []
        assert find_ollama("m", tmp_path) is None

    @pytest.mark.parametrize("name", ["../m", "m:../../x", "/etc/passwd", "a/b/c/d", "", "m:", ":x"])
    def test_names_that_lead_elsewhere(self, tmp_path: Path, name: str) -> None:
        write_model(tmp_path / "blobs" / f"sha256-{DIGEST}")
        write_manifest(tmp_path, "registry.ollama.ai", "m", "latest")
        assert find_ollama(f"ollama:{name}", tmp_path) is None

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"layers": 3}', '{"layers": [3]}', "[" * 5_000])
    def test_a_damaged_manifest(self, tmp_path: Path, content: str) -> None:
        write_manifest(tmp_path, "registry.ollama.ai", "library", "m", "latest").write_text(content)
        assert find_models(Places(ollama=tmp_path)) == []

    def test_a_manifest_without_a_model(self, tmp_path: Path) -> None:
        write_manifest(tmp_path, "registry.ollama.ai", "library", "m", "latest", media="other")
        assert find_models(Places(ollama=tmp_path)) == []


class TestFolders:
    def test_lm_studio_llama_cpp_ours_and_a_given_one(self, tmp_path: Path) -> None:
        paths = [
            write_model(tmp_path / "lm" / "publisher" / "model" / "a.gguf", 7),
            write_model(tmp_path / "cpp" / "b.gguf", 2),
            write_model(tmp_path / "given" / "c.gguf", 1),
        ]
        write_safetensors_folder(tmp_path / "ours" / "d")
        found = find_models(
            Places(
                ours=tmp_path / "ours",
                lm_studio=(tmp_path / "lm", tmp_path / "none"),
                llama_cpp=tmp_path / "cpp",
                given=(tmp_path / "given",),
            )
        )
        assert [one.path for one in found] == [tmp_path / "ours" / "d", *paths]
        assert [one.place for one in found] == ["ours", "LM Studio", "llama.cpp", str(tmp_path / "given")]
        assert [one.quantisation for one in found] == [None, "Q8_0", "Q4_0", "F16"]
        assert (found[0].format, found[0].architecture, found[0].n_bytes) == (
            "safetensors",
            "starcoder2",
            100,
        )

    def test_parts_are_one_model(self, tmp_path: Path) -> None:
        parts = [write_model(tmp_path / f"m-0000{i}-of-00003.gguf") for i in (1, 2, 3)]
        found = only(find_models(Places(given=(tmp_path,))))
        assert found.path == parts[0]
        assert found.n_bytes == sum(part.stat().st_size for part in parts)
        parts[1].unlink()
        assert find_models(Places(given=(tmp_path,))) == []

    def test_what_is_no_language_model(self, tmp_path: Path) -> None:
        write_model(tmp_path / "mmproj.gguf", keys={"general.type": "mmproj"})
        (tmp_path / "half.gguf").write_bytes(b"GGUF\x03\x00")
        (tmp_path / "page.gguf").write_text("<html>")
        (tmp_path / "readme.txt").write_text("")
        os.mkfifo(tmp_path / "pipe.gguf")
        assert find_models(Places(given=(tmp_path,))) == []

    def test_a_file_in_two_places_is_found_once(self, tmp_path: Path) -> None:
        path = write_model(tmp_path / "ours" / "m.gguf")
        (tmp_path / "given").mkdir()
        (tmp_path / "given" / "link.gguf").symlink_to(path)
        found = find_models(Places(ours=tmp_path / "ours", given=(tmp_path / "given",)))
        assert only(found).path == path

    def test_links_into_folders_are_not_followed(self, tmp_path: Path) -> None:
        write_model(tmp_path / "elsewhere" / "m.gguf")
        (tmp_path / "given").mkdir()
        (tmp_path / "given" / "out").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "given" / "round").symlink_to(tmp_path / "given")
        (tmp_path / "given" / "nowhere.gguf").symlink_to(tmp_path / "none")
        assert find_models(Places(given=(tmp_path / "given",))) == []

    def test_a_deep_folder_is_not_searched(self, tmp_path: Path) -> None:
        write_model(tmp_path.joinpath(*"abcde") / "m.gguf")
        assert find_models(Places(given=(tmp_path,))) == []


class TestHub:
    def test_gguf_and_safetensors(self, tmp_path: Path) -> None:
        blobs = tmp_path / "models--Qwen--Coder-GGUF" / "blobs"
        write_model(blobs / "1234")
        snapshot = blobs.parent / "snapshots" / "abcd"
        snapshot.mkdir(parents=True)
        (snapshot / "coder-q4_k_m.gguf").symlink_to("../../blobs/1234")
        write_safetensors_folder(tmp_path / "models--bigcode--starcoder2-3b" / "snapshots" / "ef01")
        (tmp_path / "datasets--someone--data" / "snapshots" / "x").mkdir(parents=True)
        gguf_file, safetensors = find_models(Places(hub=tmp_path))
        assert (gguf_file.path, gguf_file.architecture) == (snapshot / "coder-q4_k_m.gguf", "qwen2")
        assert (safetensors.name, safetensors.architecture) == ("bigcode/starcoder2-3b", "starcoder2")


def test_the_programs_own_variables_count(tmp_path: Path) -> None:
    usual = Places.of_this_user(environment={"HOME": "/h"})
    assert usual.hub == Path("/h/.cache/huggingface/hub")
    assert usual.ollama == Path("/h/.ollama/models")
    assert usual.lm_studio == (Path("/h/.lmstudio/models"), Path("/h/.cache/lm-studio/models"))
    told = {"HF_HOME": "/a", "OLLAMA_MODELS": "/b", "LLAMA_CACHE": "/c"}
    moved = Places.of_this_user(ours=tmp_path, environment=told)
    assert (moved.hub, moved.ollama, moved.llama_cpp) == (Path("/a/hub"), Path("/b"), Path("/c"))
    assert moved.ours == tmp_path


def test_twenty_files_take_no_time(tmp_path: Path) -> None:
    vocabulary = {"tokenizer.ggml.tokens": [f"token{i}" for i in range(20_000)]}
    first = write_model(tmp_path / "0.gguf", keys=vocabulary)
    for number in range(1, 20):
        (tmp_path / f"{number}.gguf").write_bytes(first.read_bytes())
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(find_models(Places(given=(tmp_path,)))) == 20
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
