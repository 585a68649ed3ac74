"""What is told about one step: a record of the log and a line of progress."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from training.loop.checkpointing import RunState


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One step's figures; learning rates are those it was made with, `mfu` is a share of the peak."""

    loss: float
    grad_norm: float
    lr_factor: float
    muon_lr: float
    adamw_lr: float
    seq_len: int
    tokens_per_s: float
    mfu: float
    progress: float

    def record(self, state: RunState) -> dict[str, float | int | str]:
        """The log's line for the step after which the run is in `state`."""
        where = {"step": state.step, "tokens": state.tokens, "elapsed_s": round(state.elapsed_s, 2)}
        return {"kind": "step", **where, **asdict(self)}

    def line(self, state: RunState) -> str:
        """The line for people."""
        left_min = state.elapsed_s * (1 - self.progress) / max(self.progress, 1e-9) / 60
        return (
            f"step {state.step}  {state.tokens / 1e6:.2f}M tokens  loss {self.loss:.3f}  "
            f"{self.tokens_per_s:,.0f} tokens/s  MFU {100 * self.mfu:.0f} %  "
            + (f"{left_min:.0f} min left" if self.progress > 0 else "")
        )
