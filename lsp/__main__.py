"""`python -I -m lsp`: the language server on stdio; with arguments, the whole command line.

The server starts without the command line's libraries: importing typer and rich would take a quarter as
long as the whole start.
"""

from __future__ import annotations

import gc
import sys

from model.local.safe_path import leave_out_working_folder

STDIO: tuple[list[str], ...] = ([], ["serve"], ["serve", "--stdio"], ["--stdio"])


def main() -> int:
    """Serve on stdio or hand over to `lsp.cli.cli`. Returns the exit code."""
    leave_out_working_folder()
    if sys.argv[1:] in STDIO:
        return serve_stdio()
    from lsp.cli.cli import main as command_line

    return command_line()


def serve_stdio() -> int:
    """Start the server, while the editor waits."""
    # Importing LSP's types makes some hundred thousand objects that all stay: collecting would cost 25 ms.
    gc.disable()
    from lsp.server import transports
    from lsp.server.server import StarcoderServer, create_server

    def make_server() -> StarcoderServer:
        server = create_server()
        gc.freeze()
        gc.enable()
        return server

    return transports.serve_stdio(make_server)


if __name__ == "__main__":
    sys.exit(main())
