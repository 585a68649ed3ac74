"""What programming languages look like: one table of them, and one lexer of half-written code.

Knows no grammar, no editor, no model and no tokenizer; imports nothing else of this project.
Read first: `model.languages.language`, then `model.languages.lexer`.
"""
