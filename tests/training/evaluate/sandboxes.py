"""The sandbox for tests: real, or a skip that says why; never a skip where the machine could have had one."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from training.evaluate.sandbox.pool import Limits, Sandbox, SandboxRefused

GENEROUS = Limits(seconds=20, patience=6)


def need_sandbox() -> None:
    """Skip the test on a machine that has no namespaces; fail it if only our sandbox refuses."""
    try:
        with Sandbox(workers=1):
            return
    except SandboxRefused as error:
        refusal = str(error)
    if _has_namespaces():
        pytest.fail(f"this machine has namespaces, and the sandbox refuses: {refusal}")
    pytest.skip(f"namespaces are not permitted here: {refusal}")


def _has_namespaces() -> bool:
    """Whether another program, util-linux's `unshare`, can make what the sandbox needs."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    kinds = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork"]
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = ["sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run([unshare, *user, *kinds, *mount], capture_output=True, check=False).returncode == 0
