"""`python -m training train …` and `eval …`: the commands of `starcoder-lsp` without the language server.

For machines that have PyTorch and little else, and for torchrun.
"""

from __future__ import annotations

import typer

from training.cli.cli import eval_app, train_app

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(train_app, name="train")
app.add_typer(eval_app, name="eval")

if __name__ == "__main__":
    app(prog_name="python -m training")
