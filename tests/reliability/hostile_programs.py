"""Programs that try to leave the sandbox, to learn of what is outside, or to take more than they may.

Each has broken out if it comes to its end: every line before raises where the walls hold.
"""

from __future__ import annotations

import platform

from tests.reliability.outcome import Outcome
from training.evaluate.sandbox.pool import Limits, Program, Sandbox

LIMITS = Limits(seconds=10, memory_mb=192, processes=24, output_mb=1, file_mb=8)
_NAMES = (
    "shmget semget msgget mq_open clone ptrace chroot pivot_root mount umount2 unshare setns add_key "
    "request_key keyctl bpf perf_event_open userfaultfd process_vm_readv memfd_create "
    "open_by_handle_at syslog"
)
_NUMBERS = {
    "x86_64": "29 64 68 240 56 101 161 155 165 166 272 308 248 249 250 321 298 323 310 319 304 103",
    "aarch64": "194 190 186 180 220 117 51 41 40 39 97 268 217 218 219 280 241 282 270 279 265 116",
}
_CALLS = dict(zip(_NAMES.split(), map(int, _NUMBERS[platform.machine()].split()), strict=True)) | {
    "io_uring_setup": 425,
    "open_tree": 428,
    "fsopen": 430,
    "clone3": 435,
    "pidfd_getfd": 438,
}
_PRELUDE = f"""
import ctypes, mmap, os, resource, signal, socket
MB, NUMBERS = 1 << 20, {_CALLS!r}
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    number = NUMBERS.get(name, name)
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
def children(count, work):
    pids = []
    for _ in range(count):
        pids.append(os.fork())
        if pids[-1] == 0:
            work()
            os._exit(0)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
"""

PROGRAMS = {
    # Memory that the resident set does not show.
    "memfd": "fd = os.memfd_create('x')\nfor _ in range(300): os.write(fd, bytes(MB))",
    "memfd by number": "call('memfd_create', b'x', 0)",
    "memfd_secret": "call(447, 0)",
    "shared anonymous": "maps = [mmap.mmap(-1, MB) for _ in range(4)]",
    "shared, validated": "assert libc.mmap(None, MB, 3, 0x23, -1, 0) not in (-1, None)",
    "shared /dev/zero": "mmap.mmap(os.open('/dev/zero', os.O_RDWR), MB)",
    "System V": "call('shmget', 0, 64 * MB, 0o1600)",
    "semaphores": "call('semget', 0, 32000, 0o1600)",
    "message queues": "call('msgget', 0, 0o1600)",
    "POSIX queues": "call('mq_open', b'/q', 0o102, 0o600, None)",
    "/dev/shm": "open('/dev/shm/x', 'wb').write(bytes(MB))",
    "private, by children": "children(8, lambda: (bytearray(b'x' * 60 * MB), signal.pause()))",
    "a large file": "open('x', 'wb').write(bytes(9 * MB))",
    "many files": "for i in range(12): open(str(i), 'wb').write(bytes(7 * MB))",
    "many inodes": "for i in range(5000): open(str(i), 'wb').close()",
    "mapped files": """
for i in range(12):
    file = open(str(i), 'wb+')
    file.truncate(7 * MB)
    mmap.mmap(file.fileno(), 0).write(b'x' * 7 * MB)""",
    "descriptors": "held = [os.dup(0) for _ in range(300)]",
    "processes": "children(40, signal.pause)",
    "threads": """
import threading
for _ in range(60): threading.Thread(target=signal.pause, daemon=True).start()""",
    "output": "for _ in range(40): print('x' * 100_000, flush=True)",
    "higher limits": "resource.setrlimit(resource.RLIMIT_NPROC, (500, 500))",
    # Namespaces, mounts, what is outside.
    "unshare a user namespace": "call('unshare', 0x10000000)",
    "clone into a user namespace": "call('clone', 0x10000000 | 17, None, None, None, None)",
    "clone3 into namespaces": "call('clone3', (ctypes.c_uint64 * 11)(0x10020000, 0, 0, 0, 17), 88)",
    "tmpfs": "call('mount', b'none', b'/tmp/scratch', b'tmpfs', 0, None)",
    "tmpfs in a user namespace": "call('unshare', 0x10020000)\ncall('mount', b'n', b'/tmp', b'tmpfs', 0, 0)",
    "a file system's context": "call('fsopen', b'tmpfs', 0)",
    "a mounted tree": "call('open_tree', -100, b'/', 1)",
    "another root": "call('pivot_root', b'.', b'.')",
    "chroot": "call('chroot', b'/tmp')",
    "without /proc": "call('umount2', b'/proc', 2)",
    "a namespace of its own again": "call('setns', os.open('/proc/self/ns/net', 0), 0)",
    "pid 1's root": "open('/proc/1/root/etc/passwd').read()",
    "pid 1's environment": "open('/proc/1/environ').read()",
    "a file by its handle": "call('open_by_handle_at', 3, (ctypes.c_uint64 * 4)(), 0)",
    "the system's folders": "open('/usr/planted', 'w')",
    "a device": "os.mknod('disk', 0o60600, os.makedev(8, 0))",
    "shadow": "open('/etc/shadow').read()",
    "the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')",
    # The kernel's keys, other programs, the network.
    "a key": "call('add_key', b'user', b'planted', b'x', 1, -3)",
    "the caller's keyring": "call('keyctl', 11, -3, ctypes.create_string_buffer(64), 64)",
    "a key asked for": "call('request_key', b'user', b'secret', None, 0)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "the kernel's ciphers": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "packets": "socket.socket(17, socket.SOCK_RAW)",
    "raw sockets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "a pair of another family": "socket.socketpair(29)",
    "this machine's ports": "socket.create_connection(('127.0.0.1', 22), timeout=1)",
    "the network": "socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "root": "os.setuid(0)",
    "its watch": "os.kill(os.getppid(), 0); os.kill(1, signal.SIGKILL); assert False",
    "debugging": "call('ptrace', 16, os.getppid(), 0, 0)",
    "another's memory": "call('process_vm_readv', 1, None, 0, None, 0, 0)",
    "another's descriptors": "call('pidfd_getfd', os.pidfd_open(1), 0, 0)",
    "io_uring": "call('io_uring_setup', 8, (ctypes.c_uint64 * 15)())",
    "bpf": "call('bpf', 0, (ctypes.c_uint64 * 9)(), 72)",
    "counters": "call('perf_event_open', (ctypes.c_uint64 * 16)(), 0, -1, -1, 0)",
    "page faults": "call('userfaultfd', 0)",
    "the kernel's log": "call('syslog', 3, ctypes.create_string_buffer(64), 64)",
    "x32's numbers": "call(0x40000000 + 20, 1, None, 0); assert os.uname().machine == 'x86_64'",
    "real-time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
}


def run(*, seed: int, is_long: bool) -> Outcome:
    """All of them, in a sandbox of one worker; the seed changes nothing here."""
    failures = []
    with Sandbox(limits=LIMITS, workers=1) as sandbox:
        for name, body in PROGRAMS.items():
            outcome = sandbox.run(Program(source=_PRELUDE + body))
            if outcome.passed:
                failures.append(f"{name}: came to its end")
            elif "NameError" in outcome.message or outcome.reason == "invalid":
                failures.append(f"{name}: says nothing: {outcome.message}")
        good = sandbox.run(Program(source=_PRELUDE + "children(4, lambda: bytearray(MB))"))
        if not good.passed:
            failures.append(f"a harmless program: {good}")
    return Outcome(figure=f"{len(PROGRAMS)} programs: {len(failures)} came through", failures=failures)
