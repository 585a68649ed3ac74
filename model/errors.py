"""The exception tree of `model/`.

Every message names the offending value and the remedy. `model.serve.server` turns these into
HTTP answers and `lsp.cli.cli` into exit codes; nothing in between does.
"""

from __future__ import annotations

MODEL_EXIT_CODE = 3
"""The exit code for a `ModelError`, by which whoever started the engine knows one."""

EXTRA_EXIT_CODE = 5
"""The same, on an `ExtraMissingError`."""


def served_elsewhere(file: object = "FILE.gguf") -> str:
    """The way out for a model that is not computed here."""
    return f"Serve it with `llama-server -m {file}` and set engine.url to http://127.0.0.1:8080/v1."


class ModelError(Exception):
    """Base of everything this package raises on bad input or a bad environment."""


class ConfigError(ModelError):
    """A config.json that is missing, malformed or of another architecture."""


class CheckpointError(ModelError):
    """Weights that are missing, truncated, pickled or do not fit their configuration."""


class TokenizerError(ModelError):
    """A tokenizer.json that is missing, malformed or lacks a required special token."""


class HubError(ModelError):
    """A model name that cannot be resolved to files on this machine."""


class RequestError(ModelError):
    """A completion request that cannot be served as asked.

    `field` is the request's field at fault, in the wire's own spelling, or None.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ContextLengthError(RequestError):
    """The prompt and the tokens asked for do not fit the model's context."""


class ListenError(ModelError):
    """An address that the engine cannot or must not listen on."""


class ExtraMissingError(ModelError):
    """Something that only an extra of the installation brings; the message has the command."""


class EngineUnavailableError(ModelError):
    """The engine process or URL cannot be reached, died, or speaks another version.

    `is_passing` is False for what will be the same at the next attempt, until somebody changes something.
    """

    def __init__(self, message: str, *, is_passing: bool = True) -> None:
        super().__init__(message)
        self.is_passing = is_passing
