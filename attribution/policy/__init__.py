"""What a licence must not be, and where that does not count: conditions, the policy file, verdicts.

Knows no index and no editor, and not how a match was found.
Read first: `attribution.policy.policy`.
"""
