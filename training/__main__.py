"""`python -m training train …` and `eval …`: the commands of `starcoder-lsp` without the language server.

For machines that have PyTorch and little else, and for torchrun.
"""

from __future__ import annotations

import sys

from model.local.safe_path import leave_out_working_folder


def main() -> int:
    """Run; a package that is not here is one line and its remedy."""
    leave_out_working_folder()
    import typer

    from model.errors import EXTRA_EXIT_CODE, ExtraMissingError
    from model.extras import extra_needed
    from training.cli.cli import eval_app, train_app

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.add_typer(train_app, name="train")
    app.add_typer(eval_app, name="eval")
    try:
        with extra_needed("training", "this command"):
            app(prog_name="python -m training")  # leaves by SystemExit
    except ExtraMissingError as error:
        sys.stderr.write(f"python -m training: {error}\n")
        return EXTRA_EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())
