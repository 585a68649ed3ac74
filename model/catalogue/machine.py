"""Which published model suits this machine, and why.

Knows its memory and its cores, and nothing of what is installed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from model.catalogue.published import PUBLISHED, STARTER, PublishedModel
from model.local.threads import available_cpus

# An editor, a browser and whatever is being worked on want the rest.
_MEMORY_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a model may use here. `memory_bytes` None: this system does not say."""

    memory_bytes: int | None
    n_cores: int

    @classmethod
    def this(cls) -> Machine:
        """This machine."""
        return cls(memory_bytes=_memory_bytes(), n_cores=available_cpus())


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The model for a machine; None: the bundled starter."""

    model: PublishedModel | None
    reason: str

    @property
    def name(self) -> str:
        """What `--model` takes."""
        return STARTER if self.model is None else self.model.name


def suits(model: PublishedModel, machine: Machine) -> bool:
    """Whether a model leaves a machine its memory and answers while somebody types."""
    return lack(model, machine) is None


def propose(machine: Machine) -> Proposal:
    """The best model that suits a machine."""
    why_not: list[str] = []
    for model in PUBLISHED:
        if model.infilling is None:
            continue
        if (reason := lack(model, machine)) is None:
            return Proposal(model=model, reason="; ".join([_fit(model, machine), *why_not]))
        why_not.append(f"{model.name} {reason}")
    return Proposal(model=None, reason="; ".join(why_not))


def lack(model: PublishedModel, machine: Machine) -> str | None:
    """Why a model does not suit a machine, as the rest of a sentence about it; None: it does."""
    if machine.memory_bytes is not None and model.memory_bytes > machine.memory_bytes * _MEMORY_SHARE:
        return f"takes {_gb(model.memory_bytes)} of memory, and there are {_gb(machine.memory_bytes)} in all"
    if machine.n_cores < model.least_cores:
        return f"is too slow on fewer than {model.least_cores} cores to follow your typing"
    return None


def _fit(model: PublishedModel, machine: Machine) -> str:
    cores = f"{machine.n_cores} core{'s' if machine.n_cores > 1 else ''}"
    if machine.memory_bytes is None:
        return f"it takes {_gb(model.memory_bytes)} of memory, and there are {cores}"
    return f"it takes {_gb(model.memory_bytes)} of {_gb(machine.memory_bytes)} memory, and there are {cores}"


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
