"""Wheels for each platform, built on one Linux machine: `python .ci/wheels.py [PLATFORM …]`.

Zig's compiler builds the libraries of model/native for a target (setup.py calls it), with a C++ library
inside; the rest of a wheel is the same for all. Owns which platforms there are, and what a wheel must hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Platform:
    """A platform that a wheel is for."""

    tag: str  # of wheels
    target: str  # in Zig's words; of glibc, the oldest version that serves
    variants: tuple[str, ...]


_X86 = ("avx512_vnni", "avx_vnni", "avx2", "plain")
_ARM = ("neon_dotprod", "plain")
PLATFORMS = {
    platform.tag: platform
    for platform in (
        Platform("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17", _X86),
        Platform("manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17", _ARM),
        Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", _X86),
        Platform("musllinux_1_2_aarch64", "aarch64-linux-musl", _ARM),
        Platform("macosx_11_0_arm64", "aarch64-macos.11.0", _ARM),
        Platform("macosx_10_15_x86_64", "x86_64-macos.10.15", _X86),
        Platform("win_amd64", "x86_64-windows-gnu", _X86),
    )
}


def build(platform: Platform, into: Path) -> Path:
    """Build a platform's wheel in the folder `into`.

    Raises `SystemExit` where something of it could not be built, or is missing in the wheel.
    """
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made, "source")  # setup.py would leave another platform's libraries in the checkout
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for file in filter(None, files):
            if (ROOT / file).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, copy / file)
        command = [sys.executable, "setup.py", "-q", "bdist_wheel", "--plat-name", platform.tag]
        environment = os.environ | {"STARCODER_TARGET": platform.target}
        built = subprocess.run([*command, "--dist-dir", made], cwd=copy, check=False, env=environment)
        if built.returncode:
            raise SystemExit(f"{platform.tag}: the wheel could not be built")
        (wheel,) = Path(made).glob("*.whl")
        _check(wheel, platform)
        into.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, into / wheel.name))


def _check(wheel: Path, platform: Platform) -> None:
    """Refuse a wheel without one of its libraries, or with one of another platform."""
    with zipfile.ZipFile(wheel) as archive:
        libraries = {Path(name).stem.removeprefix("_") for name in archive.namelist() if name.endswith(".so")}
    if libraries != set(platform.variants):
        raise SystemExit(f"{wheel.name} holds {sorted(libraries)}, not {sorted(platform.variants)}")


def main() -> None:
    """Build the wheels that the command line names, else all."""
    parser = argparse.ArgumentParser(prog="python .ci/wheels.py", description=__doc__)
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help="Which to build: all by default.")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="FOLDER", help="Where they go.")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.platforms if name not in PLATFORMS]
    if unknown:
        parser.error(f"no platform is called {unknown[0]}; there are {', '.join(PLATFORMS)}")
    for name in arguments.platforms or PLATFORMS:
        wheel = build(PLATFORMS[name], arguments.to.absolute())
        sys.stdout.write(f"{wheel.name}  {wheel.stat().st_size / 1e6:.1f} MB\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
