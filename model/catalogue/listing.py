"""All models that can be named here: the starter, the published ones, and whatever else lies on this machine.

Reads the beginnings of files, so it takes a moment. Knows nobody to whom it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.catalogue.found import find_models
from model.catalogue.here import file_here, usual_places
from model.catalogue.machine import Machine, lack
from model.catalogue.places import OLLAMA_PREFIX, Places
from model.catalogue.published import PUBLISHED, STARTER, PublishedModel


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """A model that `--model` takes by `name`. `path` None: it is not here, `model get` fetches it."""

    name: str
    place: str
    """Whose folder it lies in, or ""."""
    path: Path | None = None
    n_bytes: int | None = None
    what: str = ""
    """What its file calls it: architecture and quantisation."""
    published: PublishedModel | None = None

    @property
    def answers_as(self) -> str:
        """What an engine that serves it calls itself (`model.weights.hub` names it so)."""
        if self.published is not None or self.path is None:
            return self.name
        if self.name == str(self.path):
            return self.path.stem if self.path.suffix == ".gguf" else self.path.name
        return self.name.removeprefix(OLLAMA_PREFIX)

    def to_json(self, in_use: str) -> dict[str, object]:
        """As editors and `model list --json` get it; `in_use` is the name of the model that answers."""
        table = self.published
        return {
            "name": self.name,
            "inUse": self.name == in_use,
            "isHere": self.path is not None or self.name == STARTER,
            "place": self.place,
            "path": None if self.path is None else str(self.path),
            "bytes": self.n_bytes,
            "what": self.what,
            "license": table and table.licence,
            "contextTokens": table and table.context_tokens,
            "infilling": table and table.infilling,
            "memoryBytes": table and table.memory_bytes,
            "lack": table and lack(table, Machine.this()),
        }


def list_models(places: Places | None = None) -> list[ListedModel]:
    """The starter, the published models, and what was found besides them."""
    looked_at = places or usual_places()
    known = [_published(model, looked_at) for model in PUBLISHED]
    shown = {model.path.resolve() for model in known if model.path is not None}
    others = [
        ListedModel(
            name=found.name,
            place=found.place,
            path=found.path,
            n_bytes=found.n_bytes,
            what=" ".join(word for word in (found.architecture, found.quantisation) if word),
        )
        for found in find_models(looked_at)
        if found.path.resolve() not in shown
    ]
    return [ListedModel(name=STARTER, place="bundled"), *known, *others]


def _published(model: PublishedModel, places: Places) -> ListedModel:
    path = file_here(model, places)
    is_ours = path is not None and places.ours is not None and path.parent == places.ours
    return ListedModel(
        name=model.name,
        place="" if path is None else "ours" if is_ours else "another program's",
        path=path,
        n_bytes=model.n_bytes,
        published=model,
    )
