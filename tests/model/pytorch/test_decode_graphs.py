"""Decoding as it is captured on a GPU: the kernel in Triton's interpreter, the step around it, and the
kernel compiled for GPUs that are not here. On a GPU itself: test_gpu.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch's builds for GPUs")


@pytest.mark.slow
def test_in_the_interpreter() -> None:
    """In a process of its own: Triton must be told before it is imported."""
    inside = Path(__file__).with_name("interpreted_decode_graphs.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(inside)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path: Path) -> None:
    """For StarCoder's shapes, the largest and the least. In a process that does not interpret."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.model.pytorch.compile_mqa_decode", "80", "90"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    sizes = [int(size) for size in done.stdout.split()]
    assert len(sizes) == 2 * 6
    assert max(sizes) < 100_000, "shared memory of a multiprocessor"
