"""`python -I -m lsp` without its imports, which are most of what a start costs. Linux only.

One process beside the tests has imported the program, and forks whenever it is asked for one. What is forked
is the real program: it gets the arguments, the environment, the folder and the open files of the command that
asks, and runs `lsp.__main__.main` to its end. That command stays until then, passes signals on, and ends as
the program did. What a fresh interpreter does, `test_startup` and `test_transports` see.

This file is the asking command too. It starts without site-packages, and imports little.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys

ASKED_BYTES = 1 << 18  # at most: arguments and environment


def command(address: str) -> list[str]:
    """What stands for `python -I -m lsp` while `serve_command` runs at this address."""
    return [sys.executable, "-I", "-S", __file__, "ask", address]


def serve_command(address: str) -> list[str]:
    """Forks servers until its standard input ends. It says a line when it is ready."""
    return [sys.executable, "-I", __file__, "serve", address]


def end_as_forked(address: str, arguments: list[str]) -> None:
    """Have a program forked that has our arguments, environment, folder and files; end as it does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect("\0" + address)  # an abstract name: no file
    variables = (f"{name}={value}" for name, value in os.environ.items())
    asked = [os.getcwd(), str(len(arguments)), *arguments, *variables]
    socket.send_fds(connection, [os.fsencode("\0".join(asked))], [0, 1, 2])
    pid = int(connection.recv(16))
    for passed_on in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(passed_on, lambda number, frame: os.kill(pid, number))
    os.closerange(0, 3)  # theirs alone from here on
    code = os.waitstatus_to_exitcode(int(connection.recv(16)))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(address: str) -> None:
    """Fork whenever one asks. Returns in what was forked, when it has become what was asked for."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("\0" + address)
    listener.listen(32)
    n_waiting = 0  # processes that wait for a program. Their time is counted in ours in the end
    print("ready", flush=True)
    while sys.stdin.fileno() not in select.select([listener, sys.stdin.fileno()], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _fork_program(connection)
            return
        connection.close()
        n_waiting += 1
        while n_waiting and os.waitpid(-1, os.WNOHANG)[0]:
            n_waiting -= 1
    for _ in range(n_waiting):
        os.wait()
    sys.exit()


def _fork_program(connection: socket.socket) -> None:
    asked, files, _, _ = socket.recv_fds(connection, ASKED_BYTES, 3)
    if (pid := os.fork()) != 0:
        connection.send(str(pid).encode())
        for file in files:
            os.close(file)
        program = os.pidfd_open(pid)
        if program not in select.select([program, connection.fileno()], [], [])[0]:
            os.kill(pid, signal.SIGKILL)  # the command was
        connection.send(str(os.waitpid(pid, 0)[1]).encode())
        os._exit(0)
    connection.close()
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    sys.stdout = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    folder, n_arguments, *rest = os.fsdecode(asked).split("\0")
    os.chdir(folder)
    sys.argv[1:] = rest[: int(n_arguments)]
    os.environ.clear()
    os.environ.update(dict(line.split("=", 1) for line in rest[int(n_arguments) :]))


def _main() -> None:
    action, address, *arguments = sys.argv[1:]
    if action == "ask":
        end_as_forked(address, arguments)
    gc.disable()  # as the program does at its start
    from lsp.__main__ import main
    from lsp.cli import ask, cli, file_completion, terminal  # noqa: F401  # what the program imports to begin
    from lsp.server import server, transports  # noqa: F401
    from lsp.server.protocol import converter_factory
    from model.version import package_version

    converter_factory()  # resolves the names in LSP's types
    package_version()
    gc.freeze()
    serve(address)
    sys.exit(main())


if __name__ == "__main__":
    _main()
