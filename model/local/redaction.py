"""Texts as they may be shown: no address in them with a user, a password or a key. Knows no setting.

Every way out goes through here: statuses, messages, logs, what commands print.
"""

from __future__ import annotations

import re

# To the last @ that stands in one piece with the address: a password may hold an @ or a / of its own.
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s\"'<>`]*@")
_KEY = re.compile(r"(?i)([?&][\w.-]*(?:key|token|secret|password|passwd|signature|sig)[\w.-]*=)[^&\s\"'<>`]+")


def without_credentials(text: str) -> str:
    """A text whose addresses have neither user nor password nor a key among their parameters."""
    if "://" not in text:
        return text
    return _KEY.sub(r"\1…", _USER.sub(r"\1", text))
