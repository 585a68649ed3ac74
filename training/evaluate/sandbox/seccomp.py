"""The system calls that a program does not get: a filter of seccomp(2), put together as classic BPF.

What is refused is memory that the watch would not see (memfd, shared anonymous mappings, System V and POSIX
queues), further namespaces and mounts, the kernel's keys, other address families than the internet's and
local ones, and what only exploits and debuggers ask for. Numbers are the kernel's own
(arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h); from 424 on, all architectures share them.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass
from functools import lru_cache

_PR_SET_SECCOMP, _FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
# Offsets in struct seccomp_data; an argument's low half comes first on both architectures.
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
# Codes of BPF: load a word; jump if equal, at least, a bit set; mask; return.
_LOAD, _EQUAL, _AT_LEAST, _SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: getifaddrs(3) asks it
_NEW_NAMESPACES = 0x7E02_0000
_SHARED_ANONYMOUS = 0x21
_X32 = 0x4000_0000  # of x86-64's other numbering of the same calls

# io_uring, the new ways to mount, clone3 (the C library then takes clone, whose flags can be read),
# pidfd_getfd, mount_setattr, memfd_secret.
_COMMON = (*range(425, 434), 435, 438, 442, 447)


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """Of one architecture. `refused` are those that are refused whatever they ask."""

    architecture: int
    mmap: int
    socket: int
    socketpair: int
    clone: int
    refused: tuple[int, ...]


_NUMBERS = {
    "x86_64": _Numbers(
        architecture=0xC000_003E,
        mmap=9,
        socket=41,
        socketpair=53,
        clone=56,
        refused=(
            *(29, 30, 31, 64, 68, 240),  # shmget, shmat, shmctl, semget, msgget, mq_open
            *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
            *(248, 249, 250),  # add_key, request_key, keyctl
            *(319, 278, 279, 323),  # memfd_create, vmsplice, move_pages, userfaultfd
            *(101, 310, 311, 312, 298, 321),  # ptrace, process_vm_*, kcmp, perf_event_open, bpf
            *(300, 303, 304),  # fanotify_init, name_to_handle_at, open_by_handle_at
            *(103, 163, 167, 168, 169, 179),  # syslog, acct, swapon, swapoff, reboot, quotactl
            *(
                175,
                176,
                246,
                313,
                320,
            ),  # init_module, delete_module, kexec_load, finit_module, kexec_file_load
        ),
    ),
    "aarch64": _Numbers(
        architecture=0xC000_00B7,
        mmap=222,
        socket=198,
        socketpair=199,
        clone=220,
        refused=(
            *(194, 196, 195, 190, 186, 180),
            *(41, 51, 40, 39, 97, 268),
            *(217, 218, 219),
            *(279, 75, 239, 282),
            *(117, 270, 271, 272, 241, 280),
            *(262, 264, 265),
            *(116, 89, 224, 225, 142, 60),
            *(105, 106, 104, 273, 294),
        ),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL) -> bool:
    """Filter this process's calls and those of its descendants, for good; needs `no_new_privs`.

    False where the kernel or the architecture has no such filters.
    """
    code = _filter(platform.machine())
    if code is None:
        return False
    program = _Program(length=len(code) // 8, filter=code)
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)) == 0)


@lru_cache(maxsize=1)
def _filter(machine: str) -> bytes | None:
    numbers = _NUMBERS.get(machine)
    if numbers is None:
        return None
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        *(_line(_EQUAL, numbers.architecture, then=1), _refuse(errno.ENOSYS)),
        _line(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, _X32, otherwise=1), _refuse(errno.ENOSYS)]
    for number in sorted({*numbers.refused, *_COMMON}):
        # A call that is not there, to the C library and to those who have another way.
        lines += [_line(_EQUAL, number, otherwise=1), _refuse(errno.ENOSYS)]
    allowed = [_line(_EQUAL, family, then=len(_FAMILIES) - at) for at, family in enumerate(_FAMILIES)]
    for number in (numbers.socket, numbers.socketpair):
        lines += _if_called(
            number, [_argument(0), *allowed, _refuse(errno.EAFNOSUPPORT), _line(_RETURN, _ALLOW)]
        )
    lines += _if_called(
        numbers.clone, [_argument(0), _line(_SET, _NEW_NAMESPACES, otherwise=1), _refuse(errno.EPERM)]
    )
    shared = [_line(_AND, _SHARED_ANONYMOUS), _line(_EQUAL, _SHARED_ANONYMOUS, otherwise=1)]
    lines += _if_called(numbers.mmap, [_argument(3), *shared, _refuse(errno.ENOMEM)])
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _line(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter; a jump passes over so many lines."""
    return struct.pack("<HBBI", code, then, otherwise, value)


def _refuse(error: int) -> bytes:
    return _line(_RETURN, _ERRNO | error)


def _argument(at: int) -> bytes:
    return _line(_LOAD, _ARGUMENTS_AT + 8 * at)


def _if_called(number: int, lines: list[bytes]) -> list[bytes]:
    """Lines for one call, which ends here as allowed if they refuse it not."""
    body = [*lines, _line(_RETURN, _ALLOW)]
    return [_line(_EQUAL, number, otherwise=len(body)), *body]
