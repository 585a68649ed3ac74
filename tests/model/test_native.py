"""The compiled layers and step against PyTorch, in every instruction set that was built and runs here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.attention import CachedAttend, Segment
from model.checkpoint import load_checkpoint
from model.device import Placement
from model.engine import Engine
from model.generation import GenerationRequest
from model.kv_cache import allocate
from model.native import library
from model.native.library import VARIANT_VARIABLE, NativeError, built_variants, native_library
from model.native.linear import NativeLinear
from model.native.step import NativeStep
from model.quantize import Int8Linear, Scheme, dequantize_rows, quantize_rows
from model.sampling import SamplingParams
from model.tokenizer import Tokenizer
from model.transformer import GPTBigCode
from tests.model.tiny import write_tiny_model

ROOT = Path(__file__).parents[2]
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


def cpu(scheme: Scheme, dtype: torch.dtype = torch.float32) -> Placement:
    return Placement(device=torch.device("cpu"), dtype=dtype, scheme=scheme, reason="test")


def exact_twin(folder: Path, quantised: GPTBigCode) -> GPTBigCode:
    """The model of `folder` in fp32 whose weights are what the int8 ones of `quantised` stand for."""
    model = load_checkpoint(folder, cpu(Scheme.NONE))
    for name, module in quantised.named_modules():
        if isinstance(module, NativeLinear) and name != "head":
            weight = dequantize_rows(module.weight, module.get_buffer("scale"), torch.float32)
            model.get_submodule(name).weight = torch.nn.Parameter(weight, requires_grad=False)
    wte = quantised.transformer.wte
    model.transformer.wte.weight = torch.nn.Parameter(
        wte.in_fp32(torch.arange(len(wte.weight))), requires_grad=False
    )
    return model


class Ragged:
    """Steps of several sequences whose slots lie scattered in one cache, compiled and in PyTorch."""

    def __init__(self, model: GPTBigCode, twin: GPTBigCode, dtype: torch.dtype) -> None:
        self.twin, self.compiled = twin, NativeStep.build(model)
        assert self.compiled is not None
        dtypes = (dtype, torch.float32)
        self.caches = [allocate(model.config, N_SLOTS, each, torch.device("cpu")) for each in dtypes]
        order = torch.randperm(N_SLOTS, generator=torch.Generator().manual_seed(5))
        self.slots = [order[:150], order[150:]]
        self.n_done = [0, 0]

    def step(self, n_new: Sequence[int], threads: int = 2) -> tuple[Tensor, Tensor]:
        ids, positions, new_slots, segments = [], [], [], []
        for number, n in enumerate(n_new):
            start, stop = self.n_done[number], self.n_done[number] + n
            self.n_done[number] = stop
            ids.append(torch.arange(start, stop) * 7 % 270 + number)
            positions.append(torch.arange(start, stop))
            new_slots.append(self.slots[number][start:stop])
            segments.append(Segment(n_new=n, context_slots=self.slots[number][:stop]))
        flat = [torch.cat(parts) for parts in (ids, positions, new_slots)]
        assert self.compiled is not None
        compiled = self.compiled.hidden(*flat, segments, self.caches[0], threads=threads)
        attend = CachedAttend(self.caches[1], flat[2], segments, self.twin.config.n_head)
        return compiled, self.twin.hidden(flat[0], flat[1], attend)


def test_int8_is_what_pytorch_computes(variant: str) -> None:
    weight, scale = quantize_rows(randn(75, 192))
    x, bias = randn(13, 192, seed=1), randn(75, seed=2)
    wanted = Int8Linear(weight, scale, bias, torch.float32)(x)
    torch.testing.assert_close(
        NativeLinear.int8(weight, scale, bias, torch.float32)(x), wanted, atol=2e-5, rtol=2e-5
    )


def test_fine_activations_leave_only_the_weights_error(variant: str) -> None:
    weight, scale = quantize_rows(randn(64, 256))
    x = randn(9, 256, seed=1)
    x[:, 3] *= 50  # an outlier channel, which coarsens eight bits for all others
    wanted = x @ dequantize_rows(weight, scale, torch.float32).T
    fine = NativeLinear.int8(weight, scale, None, torch.float32, fine=True)(x)
    coarse = NativeLinear.int8(weight, scale, None, torch.float32)(x)
    assert (fine - wanted).norm() < 3e-4 * wanted.norm()
    assert (coarse - wanted).norm() > 30 * (fine - wanted).norm()


def test_int4_is_the_product_of_its_rounded_weights(variant: str) -> None:
    weight = randn(33, 128)
    layer = NativeLinear.int4(weight, None, torch.float32)
    columns = layer(torch.eye(128))  # [I, O]: exact, as an input of one 1 is coded as 127 steps of 1/127
    assert ((columns.T - weight).norm() / weight.norm()) < 0.1
    x = randn(6, 128, seed=3)
    rounded_x = torch.round(x / (step := x.abs().amax(1, keepdim=True) / 127)) * step
    torch.testing.assert_close(layer(x), rounded_x @ columns, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [{"n_embd": 64, "n_head": 4}, {"n_embd": 192, "n_head": 3, "n_layer": 3}])
def test_a_step_is_the_models(
    tmp_path: Path, variant: str, shape: dict[str, int], dtype: torch.dtype
) -> None:
    folder = write_tiny_model(tmp_path, **shape)
    model = load_checkpoint(folder, cpu(Scheme.INT8))
    for module in model.modules():
        if isinstance(module, NativeLinear):
            module.struct.fine = True  # what is left of the difference is then not quantisation
    run = Ragged(model, exact_twin(folder, model), dtype)
    for n_new in ((40, 1), (1, 33), (1, 1), (5, 2), (17, 64)):
        compiled, wanted = run.step(n_new)
        difference = (compiled - wanted).norm() / wanted.norm()
        assert difference < (1e-3 if dtype is torch.float32 else 4e-2), n_new


def test_a_token_does_not_depend_on_its_batch_nor_on_the_threads(tmp_path: Path, variant: str) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128)
    model = load_checkpoint(folder, cpu(Scheme.INT8))
    twin = exact_twin(folder, model)
    results = []
    for threads, steps in (
        (1, [(21, 30)]),
        (3, [(21, 30)]),
        (2, [(20, 1), (1, 29)]),
        (1, [(7, 13), (14, 17)]),
    ):
        run = Ragged(model, twin, torch.bfloat16)
        last = [run.step(n_new, threads)[0] for n_new in steps][-1]
        results.append(torch.stack([last[steps[-1][0] - 1], last[-1]]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=0, rtol=0)


def test_the_engine_says_the_same_compiled_or_not(
    tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128)
    choices = []
    for setting in (variant, "off"):
        monkeypatch.setenv(VARIANT_VARIABLE, setting)
        placement = cpu(Scheme.INT8)
        engine = Engine(load_checkpoint(folder, placement), Tokenizer.from_folder(folder), placement)
        assert engine.description["step"] == ("pytorch" if setting == "off" else f"compiled, {variant}")
        choices.append([next_token(engine, list(range(first, first + 60))) for first in range(30, 70)])
    same = sum(a == b for a, b in zip(*choices, strict=True))
    assert same >= 34, "int8 may flip near-ties of a random model, not more"


def next_token(engine: Engine, prompt_ids: list[int]) -> int:
    sampling = SamplingParams(max_new_tokens=1)
    engine.submit(GenerationRequest(prompt_ids=prompt_ids, sampling=sampling, ignore_eos=True))
    while engine.busy:
        for _, delta in engine.step():
            return delta.token_ids[0]
    raise AssertionError("no token came")


def test_numbers_that_are_none_stay_so(tmp_path: Path, variant: str) -> None:
    weight, scale = quantize_rows(randn(16, 64))
    x = randn(3, 64)
    x[1, 5] = torch.nan
    out = NativeLinear.int8(weight, scale, None, torch.float32)(x)
    assert out[1].isnan().all()
    assert out[[0, 2]].isfinite().all()


def test_what_does_not_fit_is_refused(tmp_path: Path, variant: str) -> None:
    folder = write_tiny_model(tmp_path)
    model = load_checkpoint(folder, cpu(Scheme.INT8))
    step = NativeStep.build(model)
    assert step is not None
    cache = allocate(model.config, 8, torch.float32, torch.device("cpu"))
    ids = torch.tensor([40, 41])
    positions = torch.tensor([0, 1])
    for slots, context in (([0, 8], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 99])):
        segments = [Segment(n_new=2, context_slots=torch.tensor(context))]
        with pytest.raises(NativeError, match="a slot outside the KV cache"):
            step.hidden(ids, positions, torch.tensor(slots), segments, cache, threads=1)
    segments = [Segment(n_new=3, context_slots=torch.tensor([0, 1, 2]))]
    with pytest.raises(NativeError, match="shapes"):
        step.hidden(ids, positions, torch.tensor([0, 1]), segments, cache, threads=1)
    with pytest.raises(NativeError, match="was expected"):
        model.transformer.h[0].mlp.c_fc(torch.zeros(2, 65))


def test_shapes_without_compiled_code_run_through_pytorch(tmp_path: Path) -> None:
    multi_head = load_checkpoint(write_tiny_model(tmp_path / "a", multi_query=False), cpu(Scheme.INT8))
    narrow = load_checkpoint(write_tiny_model(tmp_path / "b", n_embd=48, n_head=4), cpu(Scheme.INT8))
    dense = load_checkpoint(tmp_path / "a", cpu(Scheme.NONE))
    assert [NativeStep.build(model) for model in (multi_head, narrow, dense)] == [None, None, None]


def test_an_unknown_variant_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIANT_VARIABLE, "z80")
    with pytest.raises(NativeError, match=f"{VARIANT_VARIABLE}=z80"):
        native_library()


def test_every_field_is_where_the_c_structures_have_it() -> None:
    source = (ROOT / "model" / "native" / "step.cpp").read_text(encoding="utf-8")
    for structure in (library.Linear, library.Layer, library.Model, library.Step):
        body = source.split(f"struct {structure.__name__} {{", 1)[1].split("};", 1)[0]
        lines = [line.split("//")[0].strip(" ;") for line in body.splitlines()]
        declared = [name for line in lines if line for name in line.split(",")]  # int64_t a | *b
        names = [name.split()[-1].lstrip("*") for name in declared]
        assert names == [field[0] for field in structure._fields_], structure.__name__


@pytest.mark.slow
def test_no_memory_error_under_the_sanitizers(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    flags = ["-std=c++17", "-O1", "-g", "-fopenmp", "-Wno-psabi", "-fsanitize=address,undefined"]
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
