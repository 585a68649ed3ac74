"""Builds the compiled decode step, once for each instruction set; everything else is in pyproject.toml.

Each library is optional: where a compiler or an instruction set is missing, the install goes on
and the engine runs through PyTorch; without OpenMP (Apple's compiler has none) it runs on one thread. They
are plain shared libraries (ctypes loads them), not modules.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = "model/native/step.cpp"
INTERFACE = hashlib.sha256(Path("model/native/interface.h").read_bytes()).hexdigest()
HEADERS = sorted(map(str, Path("model/native").glob("*.h")))
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]
# Without contraction a token's result does not depend on its batch: see `fused` in numbers.h.
COMMON = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", *OPENMP]
X86 = {
    "avx512_vnni": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mfma"],
    "avx_vnni": ["-mavx2", "-mfma", "-mavxvnni"],
    "avx2": ["-mavx2", "-mfma"],
    "plain": [],
}
ARM = {"neon_dotprod": ["-march=armv8.2-a+dotprod"], "plain": []}
VARIANTS = X86 if platform.machine().lower() in ("x86_64", "amd64") else ARM

if sys.platform == "darwin":
    # A universal Python would ask for both architectures at once, of which each flag fits one.
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")


class BuildLibraries(build_ext):
    """Shared libraries without the name that Python's own modules have."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one variant, with the user's own flags last."""
        ext.extra_compile_args = [*ext.extra_compile_args, *os.environ.get("CXXFLAGS", "").split()]
        super().build_extension(ext)

    def get_ext_filename(self, fullname: str) -> str:
        """`model.native._avx2` -> model/native/_avx2.so."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """No module initialisation function to export."""
        return []


setup(
    ext_modules=[
        Extension(
            f"model.native._{name}",
            [SOURCE],
            depends=HEADERS,
            define_macros=[("STARCODER_INTERFACE", f'"{INTERFACE}"')],
            extra_compile_args=[*COMMON, *flags],
            extra_link_args=OPENMP,
            language="c++",
            optional=True,
        )
        for name, flags in VARIANTS.items()
    ],
    cmdclass={"build_ext": BuildLibraries},
)
