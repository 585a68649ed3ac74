"""The question itself: which indexed files hold parts of a text, verified token by token, and the report.

Knows no store but by its contract.
Read first: `attribution.match.attribute`.
"""
