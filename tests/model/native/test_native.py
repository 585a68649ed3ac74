"""The compiled layers and step against PyTorch, in every instruction set that was built and runs here."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model.engine.engine import Engine
from model.engine.generation import GenerationRequest
from model.families.registry import read_config
from model.families.rotary import Rotary
from model.gguf.block_types import BLOCK_TYPES, NUMBERS
from model.gguf.dequantize import READABLE, dequantize
from model.gguf.files import Gguf
from model.native import library, structures
from model.native.library import VARIANT_VARIABLE, NativeError, built_variants, native_library
from model.native.linear import KEPT, LinearReader, NativeLinear
from model.native.model import NativeModel, takes
from model.native.step import NativeStep
from model.pytorch.attention import CachedAttend, Segment
from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import load_checkpoint, save_checkpoint
from model.pytorch.device import Placement
from model.pytorch.quantize import Int8Linear, dequantize_rows, quantize_rows
from model.pytorch.torch_runner import allocate
from model.runner.runner import Batch
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from model.weights.gguf_weights import GgufWeights
from model.weights.opening import open_weights
from model.weights.scheme import Scheme
from model.weights.weight_files import SINGLE_FILE, WeightFiles
from tests.model.gguf.writing import random_blocks, write_gguf
from tests.model.tiny import LLAMA_SHAPES, config_with, llama_config, write_tiny_llama, write_tiny_model

ROOT = Path(__file__).parents[3]
VARIANTS = list(built_variants())
N_SLOTS = 300

if not VARIANTS:
    pytest.skip("the compiled step was not built (no C++ compiler at install)", allow_module_level=True)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIANT_VARIABLE, request.param)
    return str(request.param)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cpu(scheme: Scheme) -> Placement:
    return Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=scheme, reason="test")


def int8_of(weight: Tensor, bias: Tensor | None = None, *, fine: bool = False) -> NativeLinear:
    with TemporaryDirectory() as folder:
        reader = reader_of(Path(folder), m=weight)
        biases = None if bias is None else bias.numpy()
        return reader.int8({"transformer.m": (weight.shape[0], weight.shape[1])}, bias=biases, fine=fine)


def apply(layer: NativeLinear, x: Tensor) -> Tensor:
    return torch.from_numpy(layer(x.numpy()))


def int8_model(folder: Path) -> NativeModel:
    return NativeModel(open_weights(folder, config := read_config(folder)), config, Scheme.INT8, threads=1)


def reader_of(folder: Path, **tensors: Tensor) -> LinearReader:
    """A reader of matrices that are stored under `transformer.<name>`."""
    save_file({f"transformer.{name}": tensor for name, tensor in tensors.items()}, folder / SINGLE_FILE)
    return LinearReader(WeightFiles(folder, config_with()), threads=2)


def unpacked(layer: NativeLinear) -> tuple[Tensor, Tensor]:
    """Codes [O, I] and scales [O]."""
    n_out = layer.struct.n_out
    return torch.from_numpy(layer.rows(np.arange(n_out))), torch.from_numpy(layer.arrays["scale"][:n_out])


def exact_twin(folder: Path, quantised: NativeModel) -> CausalLM:
    """The model of `folder` in fp32 whose weights are what the int8 ones of `quantised` stand for."""
    model = load_checkpoint(folder, cpu(Scheme.NONE))
    for names, linear in quantised.linears().items():
        weight = dequantize_rows(*unpacked(linear), torch.float32)
        tied = names == ("lm_head",) and quantised.config.tied_head
        first = 0
        for name in names:
            module = model.token_embedding if tied else model.get_submodule(name)
            assert isinstance(module.weight, Tensor)
            last = first + len(module.weight)
            module.weight = torch.nn.Parameter(weight[first:last].clone(), requires_grad=False)
            first = last
        assert first == len(weight)
    return model


class Ragged:
    """Steps of several sequences whose slots lie scattered in one cache, compiled and in PyTorch."""

    def __init__(self, model: NativeModel, twin: CausalLM, cache_type: type[np.generic]) -> None:
        self.twin, self.compiled = twin, NativeStep(model)
        config = model.config
        self.ours = np.zeros((config.n_layer, N_SLOTS, 2, config.kv_dim), cache_type)
        self.theirs = allocate(config, N_SLOTS, torch.float32, torch.device("cpu"))
        order = np.random.default_rng(5).permutation(N_SLOTS)
        self.slots = [order[:150], order[150:]]
        self.n_done = [0, 0]

    def step(self, n_new: Sequence[int], threads: int = 2) -> tuple[Tensor, Tensor]:
        ids, positions, new_slots, contexts = [], [], [], []
        for number, n in enumerate(n_new):
            start, stop = self.n_done[number], self.n_done[number] + n
            self.n_done[number] = stop
            ids.append(np.arange(start, stop) * 7 % 270 + number)
            positions.append(np.arange(start, stop))
            new_slots.append(self.slots[number][start:stop])
            contexts.append(self.slots[number][:stop])
        batch = Batch(
            ids=np.concatenate(ids).astype(np.int32),
            positions=np.concatenate(positions),
            slots=np.concatenate(new_slots),
            n_new=n_new,
            contexts=contexts,
        )
        compiled = self.compiled.hidden(batch, self.ours, threads=threads)
        segments = [
            Segment(n_new=n, context_slots=torch.from_numpy(context))
            for n, context in zip(n_new, contexts, strict=True)
        ]
        attend = CachedAttend(self.theirs, torch.from_numpy(batch.slots), segments, self.twin.config.n_head)
        theirs = self.twin.hidden(torch.from_numpy(batch.ids), torch.from_numpy(batch.positions), attend)
        return torch.from_numpy(compiled), theirs


def test_int8_is_what_pytorch_computes(variant: str) -> None:
    weight, x, bias = randn(75, 192), randn(13, 192, seed=1), randn(75, seed=2)
    wanted = Int8Linear(*quantize_rows(weight), bias, torch.float32)(x)
    torch.testing.assert_close(apply(int8_of(weight, bias), x), wanted, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_rounded_as_pytorch_rounds_them(tmp_path: Path, variant: str, dtype: torch.dtype) -> None:
    weight = (randn(70, 192) * torch.linspace(1e-6, 50, 70)[:, None]).to(dtype)
    weight[3] = 0
    layer = reader_of(tmp_path, m=weight).int8({"transformer.m": (70, 192)})
    codes, scale = quantize_rows(weight)
    for found, wanted in zip(unpacked(layer), (codes, scale), strict=True):
        torch.testing.assert_close(found, wanted, atol=0, rtol=0)
    np.testing.assert_array_equal(layer.arrays["sums"][:70], codes.sum(1).numpy())


@pytest.mark.parametrize("kind", READABLE)
def test_blocks_of_gguf_files_are_rounded_as_their_numbers(tmp_path: Path, variant: str, kind: str) -> None:
    rows, columns, name = 70, 512, "model.embed_tokens.weight"
    blocks = random_blocks(kind, rows, columns)
    if kind in ("F16", "BF16"):
        blocks[:, 1::2] &= 0xBF  # small numbers: among 512 of any size one is infinite
    numbers = dequantize(blocks, BLOCK_TYPES[NUMBERS[kind]])
    layers = []
    for number, (stored, values) in enumerate(((kind, blocks), ("F32", numbers))):
        tensors: dict[str, Any] = {"token_embd.weight": (stored, values)}
        path = write_gguf(tmp_path / f"{number}.gguf", tensors=tensors)
        weights = GgufWeights(Gguf(path), llama_config(**LLAMA_SHAPES["qwen2"]))
        layers.append(LinearReader(weights, threads=2).int8({name: (rows, columns)}))
    ours, wanted = (unpacked(layer) for layer in layers)
    finite = torch.from_numpy(np.isfinite(numbers).all(1))  # a random scale may be no number
    assert finite.sum() > 5
    torch.testing.assert_close(ours[0][finite], wanted[0][finite], atol=0, rtol=0)
    torch.testing.assert_close(ours[1], wanted[1], atol=0, rtol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KEPT)
def test_codes_of_gguf_files_are_kept(tmp_path: Path, variant: str, kind: str) -> None:
    """Products are those of the file's own numbers, for one token as for many."""
    rows, columns, name, block = 70, 1280, "model.embed_tokens.weight", BLOCK_TYPES[NUMBERS[kind]]
    blocks = random_blocks(kind, rows, columns).reshape(rows, -1, block.block_bytes)
    for high_byte in (209,) if kind == "Q6_K" else (1, 3) if KEPT[kind].has_minima else (1,):
        blocks[:, :, high_byte] = blocks[:, :, high_byte] & 0x83 | 0x28  # scales from 1/32 to 1/16
    flat = blocks.reshape(rows, -1)
    path = write_gguf(tmp_path / "m.gguf", tensors={"token_embd.weight": (kind, flat)})
    weights = GgufWeights(Gguf(path), llama_config(**LLAMA_SHAPES["qwen2"]))
    layer = LinearReader(weights, threads=2).as_stored({name: (rows, columns)}, fine=True)
    assert layer.struct.bits == KEPT[kind].bits
    x = randn(13, columns)
    found, exact = apply(layer, x), x @ torch.from_numpy(dequantize(flat, block)).T
    assert (found - exact).norm() < 5e-4 * exact.norm(), "scales of K blocks have eleven bits here"
    torch.testing.assert_close(apply(layer, x[5:6]), found[5:6], atol=0, rtol=0)


def test_stored_int8_is_taken_as_it_is(tmp_path: Path, variant: str) -> None:
    codes, scale = quantize_rows(randn(70, 192))
    layer = reader_of(tmp_path, **{"m": codes, "m.scale": scale}).int8({"transformer.m": (70, 192)})
    for found, wanted in zip(unpacked(layer), (codes, scale), strict=True):
        torch.testing.assert_close(found, wanted, atol=0, rtol=0)
    np.testing.assert_array_equal(layer.arrays["sums"][:70], codes.sum(1).numpy())


def test_fine_activations_leave_only_the_weights_error(variant: str) -> None:
    weight, x = randn(64, 256), randn(9, 256, seed=1)
    x[:, 3] *= 50  # an outlier channel, which coarsens eight bits for all others
    wanted = x @ dequantize_rows(*quantize_rows(weight), torch.float32).T
    fine, coarse = (apply(int8_of(weight, fine=fine), x) for fine in (True, False))
    assert (fine - wanted).norm() < 3e-4 * wanted.norm()
    assert (coarse - wanted).norm() > 30 * (fine - wanted).norm()


def test_int4_is_the_product_of_its_rounded_weights(tmp_path: Path, variant: str) -> None:
    weight = randn(33, 128)
    layer = reader_of(tmp_path, m=weight).int4("transformer.m", (33, 128))
    columns = apply(layer, torch.eye(128))  # [I, O]: exact, as an input of one 1 is 127 steps of 1/127
    assert ((columns.T - weight).norm() / weight.norm()) < 0.1
    x = randn(6, 128, seed=3)
    rounded_x = torch.round(x / (step := x.abs().amax(1, keepdim=True) / 127)) * step
    torch.testing.assert_close(apply(layer, x), rounded_x @ columns, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("cache_type", [np.float32, np.uint16])
@pytest.mark.parametrize("shape", [{"n_embd": 64, "n_head": 4}, {"n_embd": 192, "n_head": 3, "n_layer": 3}])
def test_a_step_is_the_models(
    tmp_path: Path, variant: str, shape: dict[str, int], cache_type: type[np.generic]
) -> None:
    folder = write_tiny_model(tmp_path, **shape)
    model = int8_model(folder)
    for layer in model.struct.layers[: model.config.n_layer]:
        for linear in (layer.qkv, layer.proj, layer.fc, layer.out):
            linear.fine = True  # what is left of the difference is then not quantisation
    run = Ragged(model, exact_twin(folder, model), cache_type)
    for n_new in ((40, 1), (1, 33), (1, 1), (5, 2), (17, 64)):
        compiled, wanted = run.step(n_new)
        difference = (compiled - wanted).norm() / wanted.norm()
        assert difference < (1e-3 if cache_type is np.float32 else 4e-2), n_new


def test_a_token_does_not_depend_on_its_batch_nor_on_the_threads(tmp_path: Path, variant: str) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128)
    model = int8_model(folder)
    twin = exact_twin(folder, model)
    results = []
    for threads, steps in (
        (1, [(21, 30)]),
        (3, [(21, 30)]),
        (2, [(20, 1), (1, 29)]),
        (1, [(7, 13), (14, 17)]),
    ):
        run = Ragged(model, twin, np.uint16)
        last = [run.step(n_new, threads)[0] for n_new in steps][-1]
        results.append(torch.stack([last[steps[-1][0] - 1], last[-1]]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=0, rtol=0)


@pytest.fixture(scope="module")
def folder_and_choices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A model, and the tokens that follow some prompts without compiled code."""
    folder = write_tiny_model(tmp_path_factory.mktemp("model"), n_embd=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIANT_VARIABLE, "off")
        return folder, next_tokens(folder, "pytorch")


def test_the_engine_says_the_same_compiled_or_not(
    folder_and_choices: tuple[Path, list[int]], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, choices = folder_and_choices
    monkeypatch.setenv(VARIANT_VARIABLE, variant)
    compiled = next_tokens(folder, f"compiled, {variant}")
    same = sum(a == b for a, b in zip(choices, compiled, strict=True))
    assert same >= 34, "int8 may flip near-ties of a random model, not more"


def next_tokens(folder: Path, step: str) -> list[int]:
    engine = load_engine(folder, device="cpu", quantize="int8")
    assert engine.description["step"] == step
    return [next_token(engine, list(range(first, first + 60))) for first in range(30, 70)]


def next_token(engine: Engine, prompt_ids: list[int]) -> int:
    sampling = SamplingParams(max_new_tokens=1)
    engine.submit(GenerationRequest(prompt_ids=prompt_ids, sampling=sampling, ignore_eos=True))
    while engine.busy:
        for _, delta in engine.step():
            return delta.token_ids[0]
    raise AssertionError("no token came")


def test_numbers_that_are_none_stay_so(tmp_path: Path, variant: str) -> None:
    x = randn(3, 64)
    x[1, 5] = torch.nan
    out = apply(int8_of(randn(16, 64)), x)
    assert out[1].isnan().all()
    assert out[[0, 2]].isfinite().all()
    weight = randn(16, 64, seed=1)
    weight[7, 9] = torch.nan
    reader = reader_of(tmp_path, m=weight)
    for layer in (reader.int8({"transformer.m": (16, 64)}), reader.int4("transformer.m", (16, 64))):
        assert apply(layer, randn(2, 64)).isnan()[:, 7].all(), "a damaged weight is not hidden by rounding"


def test_what_does_not_fit_is_refused(tmp_path: Path, variant: str) -> None:
    model = int8_model(write_tiny_model(tmp_path))
    step = NativeStep(model)
    cache = np.zeros((model.config.n_layer, 8, 2, model.config.kv_dim), np.float32)

    def batch(slots: list[int], context: list[int], n_new: int = 2) -> Batch:
        return Batch(
            ids=np.array([40, 41], np.int32),
            positions=np.array([0, 1]),
            slots=np.array(slots),
            n_new=[n_new],
            contexts=[np.array(context)],
        )

    for slots, context in (([0, 8], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 99])):
        with pytest.raises(NativeError, match="a slot outside the KV cache"):
            step.hidden(batch(slots, context), cache, threads=1)
    with pytest.raises(NativeError, match="shapes"):
        step.hidden(batch([0, 1], [0, 1, 2], n_new=3), cache, threads=1)
    with pytest.raises(NativeError, match="was expected"):
        model.head(np.zeros((2, 65), np.float32))


def test_shapes_without_compiled_code_run_through_pytorch(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "multi-head", multi_query=False)
    write_tiny_model(tmp_path / "narrow", n_embd=48, n_head=4)
    write_tiny_model(tmp_path / "fits")
    for name, quantize, wanted in (
        ("multi-head", "int8", "pytorch"),
        ("narrow", "int8", "pytorch"),
        ("fits", "none", "pytorch"),
        ("fits", "int8", "compiled"),
        ("fits", "int4", "compiled"),
    ):
        engine = load_engine(tmp_path / name, device="cpu", quantize=quantize)
        assert engine.description["step"].split(",")[0] == wanted, (name, quantize)


def test_a_model_of_other_parts_is_not_taken(variant: str) -> None:
    config = config_with(n_embd=64, n_head=4)
    assert takes(config)
    assert not takes(replace(config, width=96))
    assert not takes(replace(config, head_dim=8))
    assert not takes(replace(config, n_kv_head=2))
    llama = llama_config(**LLAMA_SHAPES["qwen2"])
    assert takes(llama)
    assert not takes(replace(llama, inner_dim=100))
    assert not takes(replace(llama, rotary=Rotary(dim=16, theta=1e4)))


@pytest.mark.parametrize("shape", LLAMA_SHAPES)
def test_a_step_of_llamas_shape_is_the_models(tmp_path: Path, variant: str, shape: str) -> None:
    folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape])
    model = int8_model(folder)
    for layer in model.struct.layers[: model.config.n_layer]:
        for linear in (layer.qkv, layer.proj, layer.gate, layer.fc, layer.out):
            linear.fine = True  # what is left of the difference is then not quantisation
    run = Ragged(model, exact_twin(folder, model), np.float32)
    for n_new in ((40, 1), (1, 33), (1, 1), (5, 2), (17, 64)):
        compiled, wanted = run.step(n_new)
        assert (compiled - wanted).norm() / wanted.norm() < 1e-3, n_new
    logits = torch.from_numpy(model.logits(compiled.numpy()))
    assert (logits - run.twin.logits(wanted)).norm() / logits.norm() < 2e-2


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_an_engine_serves_a_model_of_llamas_shape_by_compiled_code(tmp_path: Path, scheme: str) -> None:
    folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"])
    engine = load_engine(folder, device="cpu", quantize=scheme)
    assert engine.description["step"].startswith("compiled")
    exact = load_engine(folder, device="cpu", quantize="none")
    prompts = [list(range(first, first + 60)) for first in range(30, 60)]
    same = sum(next_token(engine, prompt) == next_token(exact, prompt) for prompt in prompts)
    assert same >= (25 if scheme == "int8" else 15)


def test_the_compiled_engine_loads_no_pytorch(tmp_path: Path) -> None:
    """Its import takes longer than the rest of a start, and five times the memory."""
    folder = write_tiny_model(tmp_path)
    program = (
        "import sys; from pathlib import Path; import model.engine.async_engine, model.serve.server\n"
        "from model.start.load import load_engine; from model.engine.generation import GenerationRequest\n"
        f"engine = load_engine(Path({str(folder)!r}), device='cpu', quantize='int8')\n"
        "engine.submit(GenerationRequest(prompt_ids=[40, 41], n=2))\n"
        "while engine.busy: engine.step()\n"
        "assert engine.stats().finished == 2\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=ROOT)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("scheme", "bits"), [("int8", 8), ("int4", 6)])  # int4: a third stays int8
def test_weights_are_in_memory_once_and_rounded(tmp_path: Path, scheme: str, bits: int) -> None:
    """Peak memory of loading a bf16 checkpoint: what is kept of it and 15 %, plus its largest matrix."""
    config = config_with(vocab_size=4096, n_positions=512, n_embd=1024, n_layer=5, n_head=16)
    shapes = config.family.shapes(config)
    state = {name: torch.full(shape, 0.01, dtype=torch.bfloat16) for name, shape in shapes.items()}
    save_checkpoint(tmp_path, config, state)
    program = (
        "from pathlib import Path; from model.native.model import NativeModel\n"
        "from model.weights.opening import open_weights\n"
        "from model.families.registry import read_config; from model.weights.scheme import Scheme\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "config = read_config(folder)\n"
        "def peak(): return next(int(l.split()[1]) for l in open('/proc/self/status') if 'VmHWM' in l)\n"
        "before = peak()\n"
        f"kept = NativeModel(open_weights(folder, config), config, Scheme({scheme!r}), threads=2)\n"
        "print((peak() - before) * 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=120, cwd=ROOT, capture_output=True, text=True
    )
    kept = config.n_parameters * bits / 8
    largest = 2 * 4 * config.width**2
    assert 0.8 * kept < int(run.stdout) < 1.15 * kept + largest


def test_an_unknown_variant_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIANT_VARIABLE, "z80")
    with pytest.raises(NativeError, match=f"{VARIANT_VARIABLE}=z80"):
        native_library()


def test_a_library_that_cannot_be_loaded_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "_plain.so"
    path.write_bytes(b"built for another machine")
    assert library.open_library(path) is None
    assert f"{path} cannot be loaded" in caplog.text


@pytest.mark.parametrize("changed", [structures.INTERFACE, "starcoder_interface"])
def test_a_library_of_another_interface_is_refused(tmp_path: Path, variant: str, changed: str) -> None:
    path = built_variants()[variant]
    assert library.open_library(path) is not None
    other = tmp_path / path.name
    other.write_bytes(path.read_bytes().replace(changed.encode(), b"0" * len(changed)))
    with pytest.raises(NativeError, match=r"other sources than .*interface\.h: install this package again"):
        library.open_library(other)


LAYOUT = """
#include "{root}/model/native/interface.h"
#include <cstdio>
#include <type_traits>
template <typename T> const char *kind() {{
    return std::is_pointer_v<T> ? "pointer" : std::is_same_v<T, double> ? "double"
        : std::is_same_v<T, int64_t> ? "int64" : std::is_same_v<T, Linear> ? "Linear" : "?";
}}
#define FIELD(S, F) \\
    std::printf(#S " " #F " %s %zu %zu\\n", kind<decltype(S::F)>(), offsetof(S, F), sizeof(S::F));
#define STRUCT(S) std::printf(#S " %zu\\n", sizeof(S));
int main() {{ {body} }}
"""
KINDS = {ctypes.c_int64: "int64", ctypes.c_double: "double", structures.Linear: "Linear"}


def test_every_field_is_where_the_compiler_has_it(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program, expected = [], []
    for struct in (structures.Linear, structures.Layer, structures.Model, structures.Step):
        program.append(f"STRUCT({struct.__name__})")
        expected.append(f"{struct.__name__} {ctypes.sizeof(struct)}")
        for name, kind in struct._fields_:
            program.append(f"FIELD({struct.__name__}, {name})")
            field = getattr(struct, name)
            kind_name = KINDS.get(kind, "pointer")
            expected.append(f"{struct.__name__} {name} {kind_name} {field.offset} {field.size}")
    source, binary = tmp_path / "layout.cpp", tmp_path / "layout"
    source.write_text(LAYOUT.format(root=ROOT, body="\n".join(program)), encoding="utf-8")
    subprocess.run([compiler, "-std=c++17", "-Wno-invalid-offsetof", source, "-o", binary], check=True)
    told = subprocess.run([binary], check=True, capture_output=True, text=True).stdout.splitlines()
    assert told == expected
    assert not {"?"} & {word for line in told for word in line.split()}


def test_fewer_threads_than_asked_for_do_all_the_work(tmp_path: Path) -> None:
    """Threads wait for each other: they must count those that are there, in a forked process too."""
    folder = write_tiny_model(tmp_path)
    program = (
        "import os, resource; from pathlib import Path; import numpy as np\n"
        "from model.native.model import NativeModel; from model.native.step import NativeStep\n"
        "from model.weights.opening import open_weights\n"
        "from model.runner.runner import Batch\n"
        "from model.families.registry import read_config; from model.weights.scheme import Scheme\n"
        f"folder = Path({str(folder)!r})\n"
        "config = read_config(folder)\n"
        "model = NativeModel(open_weights(folder, config), config, Scheme.INT8, threads=1)\n"
        "cache = np.zeros((model.config.n_layer, 50, 2, model.config.kv_dim), np.float32)\n"
        "order = np.arange(40)\n"
        "batch = Batch(ids=order.astype(np.int32) + 30, positions=order, slots=order,"
        " n_new=[40], contexts=[order])\n"
        "step = NativeStep(model)\n"
        "def total(threads):\n"
        "    hidden = step.hidden(batch, cache, threads=threads)\n"
        "    return float(np.abs(hidden).sum() + model.head(hidden, threads=threads).sum())\n"
        "alone = total(1)\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limits = resource.getrlimit(resource.RLIMIT_AS)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**22, limits[1]))\n"
        "few = total(4)  # a thread's stack takes more than is left\n"
        "resource.setrlimit(resource.RLIMIT_AS, limits)\n"
        "here = lambda: len(os.listdir('/proc/self/task'))\n"
        "n_few, four, n_four = here(), total(4), here()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(total(4) != alone)\n"
        "print(few == four == alone, n_few, n_four, os.waitpid(child, 0)[1])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=120, cwd=ROOT, capture_output=True, text=True
    ).stdout
    same, few, four, child = told.split()
    assert (same, int(four) - int(few), child) == ("True", 3, "0")


@pytest.mark.slow
def test_no_memory_error_under_the_sanitizers(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    # Not optimised, without line numbers and with undefined behaviour sought once: a third of the time, and
    # no access is left out.
    flags = ["-std=c++17", "-O0", "-Wno-psabi", "-fsanitize=address,undefined", "-pthread"]
    native = ["-march=native"] if VARIANTS[0] != "plain" else []
    driver = Path(__file__).parent / "native_driver.cpp"
    built = subprocess.run(
        [compiler, *flags, *native, "-fno-sanitize-recover=all", str(driver), "-o", str(tmp_path / "driver")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    run = subprocess.run([tmp_path / "driver"], capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-1] == "steps"
