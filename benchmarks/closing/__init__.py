"""Whether accepted text still parses where an editor has closed brackets, quotes and tags by itself.

Holes in real files, scripted or generated answers, the language server's own way from an answer to
what the document becomes, and tree-sitter's grammars as judges. Read first: `benchmarks.closing.__main__`.
"""
