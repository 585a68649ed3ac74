"""What `initialize` says of the editor, as far as the server acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lsprotocol import types

from lsp.documents.debounce import client_debounces


@dataclass(frozen=True, kw_only=True)
class ClientFacts:
    """`wants_deltas`: it declared `experimental.starcoder`, so it understands our notifications.

    `shows_documents`: it can be asked to open a file or an address.
    """

    name: str = ""
    wants_deltas: bool = False
    debounces: bool = False
    pulls_configuration: bool = False
    registers_configuration: bool = False
    shows_documents: bool = False
    edits: types.WorkspaceEditClientCapabilities = field(
        default_factory=types.WorkspaceEditClientCapabilities
    )
    """The kinds of edits that it takes."""

    @classmethod
    def of(cls, params: types.InitializeParams) -> ClientFacts:
        """Read `clientInfo` and the capabilities."""
        workspace = params.capabilities.workspace
        changes = workspace.did_change_configuration if workspace else None
        window = params.capabilities.window
        showing = window.show_document if window else None
        ours = _ours(params.capabilities.experimental)
        name = params.client_info.name if params.client_info else ""
        return cls(
            name=name,
            wants_deltas=ours is not None,
            debounces=client_debounces(name, declared=(ours or {}).get("debounces")),
            pulls_configuration=bool(workspace and workspace.configuration),
            registers_configuration=bool(changes and changes.dynamic_registration),
            shows_documents=bool(showing and showing.support),
            edits=(workspace and workspace.workspace_edit) or types.WorkspaceEditClientCapabilities(),
        )


def _ours(experimental: object) -> Mapping[str, Any] | None:
    """`experimental.starcoder`: true, or an object with details; None if it is not declared."""
    declared = experimental.get("starcoder") if isinstance(experimental, Mapping) else None
    if isinstance(declared, Mapping):
        return declared
    return {} if declared else None
