"""Generated text, whole and in pieces, through the stop rules of a place; ║ is the cursor."""

from __future__ import annotations

from model.stopping.stopping import StopAt, StopRules, StopState


def run(rules: StopRules, pieces: list[str]) -> tuple[str, bool]:
    """(all that is emitted, whether a rule ended it) for text that comes in `pieces`."""
    state = StopState(rules)
    emitted = ""
    for piece in pieces:
        result = state.push(piece)
        assert result.finished == (result.reason == "stop")
        emitted += result.emit
        if result.finished:
            assert state.push("more").emit == ""
            assert state.flush() == ""
            return emitted, True
    return emitted + state.flush(), False


def check(rules: StopRules, generated: str) -> str:
    """What is emitted of `generated`, the same however it is cut into pieces."""
    whole = run(rules, [generated])[0]
    assert run(rules, list(generated))[0] == whole
    for size in (2, 3, 5, 7):
        assert run(rules, [generated[i : i + size] for i in range(0, len(generated), size)])[0] == whole
    assert generated.startswith(whole)
    return whole


def rules_at(document: str, stop_at: StopAt | None, path: str | None, *stop: str) -> StopRules:
    prefix, suffix = document.split("║")
    return StopRules.for_cursor(prefix, suffix, stop_at=stop_at, path=path, stop=stop)


def line(document: str, generated: str, path: str | None = None) -> str:
    return check(rules_at(document, StopAt.LINE, path), generated)


def block(document: str, generated: str, path: str | None = None) -> str:
    return check(rules_at(document, StopAt.BLOCK, path), generated)
