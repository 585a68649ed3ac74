"""The table of languages, a file for those of one look each.

Knows nothing about how they are read.
Read first: `model.languages.language`, whose words it is written in.
"""
