"""The language server: one process per editor window, free of torch.

It keeps the editor's documents, decides when and with what context to ask the engine for a
completion, cleans what comes back and hands it to the editor. Knows nothing of tokens and weights.
Read first: `lsp.server.server`.
"""
