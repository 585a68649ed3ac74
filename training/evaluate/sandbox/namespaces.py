"""The walls of the sandbox: Linux namespaces, a read-only file system, dropped privileges.

System calls through the C library, so that no tool has to be installed; see `namespaces(7)`, `mount(2)`,
`pivot_root(2)`, `clone3` in `clone(2)`. Imports the standard library only: the process that runs this
holds nothing else. Every failure is an OSError that names the call.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from training.evaluate.sandbox import seccomp

TEMPORARY = "/tmp"
SCRATCH = f"{TEMPORARY}/scratch"
# What may be read below /tmp waits here: each cell's own /tmp would cover it.
_ASIDE = "/.readable"
_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID = 1, 2
_SYS_CLONE3, _SYS_MOUNT_SETATTR = 435, 442  # the same number on every architecture
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_DEVICES = ("null", "random", "urandom")  # a shared mapping of `zero` is memory that nobody counts
# Users for programs when this is run by root: one a zygote, since the limit of processes counts by user.
_FIRST_UID, _UIDS = 30_000, 30_000
_NOBODY = 65_534


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Who a program is inside: `uid` is mapped from the caller's own, or (as real root) one nobody has.

    `below_temporary` are readable paths below /tmp, as when this Python stands there.
    """

    uid: int
    changes_user: bool
    below_temporary: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def _libc() -> ctypes.PyDLL:
    # PyDLL keeps the interpreter's lock during a call: the child of `clone3` must own it.
    return ctypes.PyDLL(None, use_errno=True)


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    names = [value.encode() for value in (source, target, kind)]
    result = _libc().mount(*names, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount {kind or source} on {target}")


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _seal(target: str, *, recursive: bool) -> None:
    attributes = _MountAttr(attr_set=_ATTR_RDONLY | _ATTR_NOSUID)
    flags = _AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = _libc().syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, ctypes.byref(attributes), size
    )
    _check(result, f"mount_setattr {target}")


def unshare() -> Cell:
    """New namespaces for this process's children (PID) and itself (all others). Raises OSError."""
    flags = _NEWNS | _NEWUTS | _NEWIPC | _NEWNET | _NEWPID
    if os.geteuid() == 0:
        if _libc().unshare(flags) == 0:
            return Cell(uid=_FIRST_UID + os.getpid() % _UIDS, changes_user=True)
        # Root without CAP_SYS_ADMIN, as in a container: as root the limit of processes would not bind.
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        prctl(_PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map would be root's
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc().unshare(flags | _NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1", encoding="ascii")
    return Cell(uid=_NOBODY, changes_user=False)


def build_root(cell: Cell, readable: Sequence[str]) -> Cell:
    """Leave the machine's files but for `readable` (folders, files), read-only. Run as pid 1 of the new
    namespace. Gives the cell with what `furnish` needs to know of them.
    """
    machine = platform.machine()
    if machine not in _SYS_PIVOT_ROOT:
        raise OSError(f"pivot_root: its number is not known for {machine}")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    root = "/sys" if os.path.isdir("/sys") else "/mnt"  # any folder from which nothing is bound
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    paths = _outermost(readable)
    below_temporary = tuple(path for path in paths if path.startswith(TEMPORARY + "/"))
    for path in paths:
        _bind(path, root + (_ASIDE if path in below_temporary else "") + path)
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"{root}/dev/{name}")
    for path in ("/proc", TEMPORARY):
        os.mkdir(root + path)
    _mount_proc(f"{root}/proc")  # now: without privileges it needs another one in sight
    os.chdir(root)
    _check(_libc().syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    _check(_libc().umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")
    _seal("/", recursive=False)
    return replace(cell, below_temporary=below_temporary)


def _outermost(paths: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths if os.path.lexists(path)}):
        if not any(path.startswith(other + "/") for other in chosen):
            chosen.append(path)
    return chosen


def _bind(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.mkdir(target)
    else:
        Path(target).touch()
    _mount(source, target, "", _MS_BIND | _MS_REC)
    _seal(target, recursive=True)


def _mount_proc(target: str) -> bool:
    """Whether this namespace's own processes can be shown; a container may not allow it."""
    try:
        _mount("proc", target, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except PermissionError:
        return False
    return True


class _CloneArgs(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls")
    )


def fork_into_cell() -> int:
    """`os.fork` whose child is pid 1 of new PID, mount and IPC namespaces: with it dies whatever it
    started.
    """
    arguments = _CloneArgs(flags=_NEWPID | _NEWNS | _NEWIPC, exit_signal=signal.SIGCHLD)
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    return _check(_libc().syscall(_SYS_CLONE3, ctypes.byref(arguments), size), "clone3")


def furnish(cell: Cell, scratch_bytes: int) -> None:
    """In a cell's pid 1: a /tmp with an empty scratch folder, and only the cell's processes in /proc."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(_PR_SET_DUMPABLE, 0)
    options = f"size={scratch_bytes},nr_inodes=4096,mode=1777"
    _mount("tmpfs", TEMPORARY, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    os.mkdir(SCRATCH, mode=0o700)
    if cell.changes_user:
        os.chown(SCRATCH, cell.uid, cell.uid)
    for path in cell.below_temporary:
        _bind(_ASIDE + path, path)
    if not _mount_proc("/proc"):
        _mount("tmpfs", "/proc", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=4k,mode=555")
    os.chdir(SCRATCH)


def drop_privileges(cell: Cell) -> None:
    """Become the cell's user, with no capability, no way to gain one, and few system calls."""
    if cell.changes_user:
        os.setgroups([])
        os.setresgid(cell.uid, cell.uid, cell.uid)
        os.setresuid(cell.uid, cell.uid, cell.uid)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc().capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")
    seccomp.install(_libc())


def leave_session_keyring() -> None:
    """Begin a keyring of one's own: whoever started this may keep keys in theirs. A kernel may have none."""
    number = _SYS_KEYCTL.get(platform.machine())
    if number is not None:
        _libc().syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def prctl(option: int, value: int) -> None:
    """`prctl(2)` with one number. Raises OSError."""
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    _check(_libc().prctl(option, *arguments), f"prctl {option}")


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
