"""Builds the compiled decode step, once for each instruction set; everything else is in pyproject.toml.

Each library is optional: where the compiler is missing or does not know an instruction set, the
install goes on and one line says so. They are plain shared libraries (ctypes loads them), not modules, so
that one wheel serves every version of Python.

With STARCODER_TARGET set (.ci/wheels.py does) it builds for another machine, with Zig's compiler; nothing
is optional then.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from copy import copy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCE = "model/native/step.cpp"
INTERFACE = hashlib.sha256(Path("model/native/interface.h").read_bytes()).hexdigest()
HEADERS = sorted(map(str, Path("model/native").glob("*.h")))
# Without contraction a token's result does not depend on its batch: see `fused` in numbers.h.
# Python's own flags ask for debugging symbols, which are a third of the compiler's time.
COMMON = ["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
COMMON += ["-pthread", "-fvisibility=hidden"]
X86 = {
    "avx512_vnni": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mfma"],
    "avx_vnni": ["-mavx2", "-mfma", "-mf16c", "-mavxvnni"],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "plain": [],
}
# A target in Zig's words, "aarch64-linux-gnu.2.17" say.
TARGET = os.environ.get("STARCODER_TARGET", "")
DOTPROD = "-mcpu=generic+dotprod" if TARGET else "-march=armv8.2-a+dotprod"  # Zig has one way of its own
ARM = {"neon_dotprod": [DOTPROD], "plain": []}
MACHINE = TARGET.partition("-")[0] or platform.machine().lower()
VARIANTS = X86 if MACHINE in ("x86_64", "amd64") else ARM

if sys.platform == "darwin":
    # A universal Python would ask for both architectures at once, of which each flag fits one.
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")


class BuildLibraries(build_ext):
    """Shared libraries without the name that Python's own modules have."""

    def run(self) -> None:
        """Compile as many at once as there are cores; say in one line which could not be."""
        self.parallel = True
        self._missing: list[str] = []
        super().run()
        if len(self._missing) == len(self.extensions):
            super().warn(
                "no compiled code, as nothing could be built (is there a C++ compiler?): "
                "the engine needs PyTorch, which the extra `gpu` brings"
            )
        elif self._missing:
            super().warn(f"the compiler cannot build {', '.join(self._missing)}; the engine does without")

    def warn(self, msg: str) -> None:
        """Nothing for each variant by itself: `run` has a line for all."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one variant, with the user's own flags last."""
        ext.extra_compile_args = [*ext.extra_compile_args, *os.environ.get("CXXFLAGS", "").split()]
        if TARGET:
            return self._cross_compile(ext)
        own = copy(self)
        own.build_temp = str(Path(self.build_temp, ext.name))  # all have the same source, and run at once
        try:
            super(BuildLibraries, own).build_extension(ext)
        except Exception:
            self._missing.append(ext.name.removeprefix("model.native._"))
            raise

    def _cross_compile(self, ext: Extension) -> None:
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        macros = [f"-D{name}={value}" for name, value in ext.define_macros]
        command = [sys.executable, "-m", "ziglang", "c++", "-target", TARGET, "-shared", "-s", *macros]
        command += [*ext.extra_compile_args, *ext.sources, "-o", str(library)]
        subprocess.run(command, check=True)

    def get_ext_filename(self, fullname: str) -> str:
        """`model.native._avx2` -> model/native/_avx2.so."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """No module initialisation function to export."""
        return []


class AnyPython(bdist_wheel):
    """A wheel for one platform and all versions of Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """Not the tag of the Python that builds it."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            f"model.native._{name}",
            [SOURCE],
            depends=HEADERS,
            define_macros=[("STARCODER_INTERFACE", f'"{INTERFACE}"')],
            extra_compile_args=[*COMMON, *flags],
            extra_link_args=["-pthread"],
            language="c++",
            optional=not TARGET,
        )
        for name, flags in VARIANTS.items()
    ],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": AnyPython},
)
