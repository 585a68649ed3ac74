from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from model.families.gpt_bigcode import GPT_BIGCODE
from tests.training.tiny import LANGUAGES, document, packed, recipe, write_documents
from training.compute.distributed import Group
from training.corpus.formats.code import FILENAME, GH_STARS, REPONAME
from training.data.data import DataOptions, LanguageStream, TrainingSamples, document_ids
from training.data.encoding import ByteEncoding
from training.data.fim_samples import FimOptions
from training.data.packing import PackedCorpus, PackOptions, pack, tagged_ids
from training.errors import PackingError, RecipeError
from training.loop.batches import stage_batches

ENCODING = ByteEncoding()
FIM = GPT_BIGCODE.fim_format(ENCODING.special_ids)
PLAIN = FimOptions(rate=0.0)


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    records = [document(i, LANGUAGES[i % 3]) for i in range(30)]
    source = write_documents(tmp_path / "documents", records, files=2)
    for processes in (1, 2):
        pack(source, tmp_path / str(processes), None, PackOptions(processes=processes))
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(names) == 2 * 3 * 3 + 1  # files, languages, arrays; the index
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_documents_come_back_as_they_were(tmp_path: Path) -> None:
    records = [document(i) for i in range(5)]
    corpus = packed(tmp_path, records, tag_rate=0.0)
    (shard,) = corpus.shards["Python"]
    texts = [ENCODING.decode(shard.document(i).tolist()) for i in range(5)]
    assert texts == [record["text"] for record in records]
    assert corpus.text_bytes("Python") == sum(len(record["text"].encode()) for record in records)


def test_tags_come_at_their_rate_each_on_its_own() -> None:
    names, paths, both = 0, 0, 0
    for i in range(2_000):
        ids = tagged_ids(document(i), ENCODING, PackOptions())
        has_name, has_path = (ENCODING.special_ids[tag] in ids for tag in (REPONAME, FILENAME))
        names, paths, both = names + has_name, paths + has_path, both + (has_name and has_path)
    assert names / 2_000 == pytest.approx(0.2, abs=0.03)
    assert paths / 2_000 == pytest.approx(0.2, abs=0.03)
    assert both / 2_000 == pytest.approx(0.04, abs=0.015)


def test_a_tagged_document_reads_as_the_paper_has_it() -> None:
    record = document(7, text="x = 1\n")
    ids = tagged_ids(record, ENCODING, PackOptions(tag_rate=1.0))
    special = ENCODING.special_ids
    expected = [special[REPONAME], *ENCODING.encode("owner/project-7")]
    expected += [special[FILENAME], *ENCODING.encode("src/file_7.py\nx = 1\n")]
    assert ids == expected


def test_stars_are_a_tag_where_they_are_known() -> None:
    record = {**document(7, text="x = 1\n"), "stars": 250}
    ids = tagged_ids(record, ENCODING, PackOptions(tag_rate=1.0))
    at = ids.index(ENCODING.special_ids[GH_STARS])
    assert ids[at + 1 :] == ENCODING.encode("100-1000\nx = 1\n")


def test_an_issue_has_its_tokens_where_its_record_says_and_no_tags() -> None:
    text = "<issue_start>Title: <issue_closed>?\n<issue_closed>"
    record = {**document(7, text=text), "special": [[0, 13], [len(text) - 14, len(text)]]}
    special = ENCODING.special_ids
    assert tagged_ids(record, ENCODING, PackOptions(tag_rate=1.0)) == [
        special["<issue_start>"],
        *ENCODING.encode("Title: <issue_closed>?\n"),
        special["<issue_closed>"],
    ]


def test_text_that_spells_a_special_token_stays_text() -> None:
    ids = tagged_ids(document(0, text="<fim_middle><|endoftext|>"), ENCODING, PackOptions(tag_rate=0.0))
    assert not set(ids) & set(ENCODING.special_ids.values())


@pytest.mark.parametrize("damage", ["tokens", "index", "tokenizer"])
def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path, damage: str) -> None:
    packed(tmp_path, [document(i) for i in range(3)])
    folder, tokenizer = tmp_path / "packed", None
    if damage == "tokens":
        (tokens,) = folder.glob("*.tokens")
        tokens.write_bytes(tokens.read_bytes()[:-2])
    elif damage == "index":
        (folder / "packed.json").unlink()
    else:
        tokenizer = tmp_path / "other"
        tokenizer.mkdir()
        (tokenizer / "tokenizer.json").write_text("{}")
    with pytest.raises(PackingError, match="pack"):
        PackedCorpus(folder, tokenizer=tokenizer)


def test_an_empty_source_and_a_foreign_line_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match=r"no \*\.jsonl"):
        pack(tmp_path, tmp_path / "packed", None)
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(PackingError, match=r"a\.jsonl, line 1"):
        pack(tmp_path, tmp_path / "packed", None)


def test_an_epoch_holds_every_token_once_in_documents_kept_whole(tmp_path: Path) -> None:
    records = [document(i) for i in range(9)]
    corpus = packed(tmp_path, records, tag_rate=0.0)
    stream = LanguageStream(corpus.shards["Python"], end_id=0, seq_len=50, seed=(1,))
    of_epoch = []
    for epoch in range(2):
        numbers = range(epoch * stream.n_samples, (epoch + 1) * stream.n_samples)
        order = np.argsort(stream._epoch(epoch)[2])
        samples = [stream.sample(numbers[int(i)]) for i in order]
        ids = np.concatenate([sample[:-1] for sample in samples]).tolist()
        assert all(a[-1] == b[0] for a, b in pairwise(samples))
        of_epoch.append(ids)
    texts = {record["text"] for record in records}
    for ids in of_epoch:
        whole = ENCODING.decode([10 + 19 if i == 0 else i for i in ids])  # shown as a line break
        assert sum(text in whole for text in texts) >= len(texts) - 1  # the last one may be cut
    assert of_epoch[0] != of_epoch[1]


def test_a_sample_depends_on_its_number_alone(tmp_path: Path) -> None:
    corpus = packed(tmp_path, [document(i, LANGUAGES[i % 3]) for i in range(30)])
    options = DataOptions(seq_len=64, seed=3, fim=FimOptions(rate=0.8))
    first, second = (TrainingSamples(corpus, ENCODING, FIM, options) for _ in range(2))
    numbers = [5_000, 3, 40, 3]
    forwards = [first[i] for i in numbers]
    backwards = [second[i] for i in reversed(numbers)][::-1]
    for (a, b), (c, d) in zip(forwards, backwards, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    other = TrainingSamples(corpus, ENCODING, FIM, DataOptions(seq_len=64, seed=4, fim=FimOptions(rate=0.8)))
    assert not torch.equal(other[3][0], first[3][0])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_workers_change_nothing(tmp_path: Path) -> None:
    corpus = packed(tmp_path, [document(i) for i in range(20)])
    samples = TrainingSamples(corpus, ENCODING, FIM, DataOptions(seq_len=64, fim=FimOptions(rate=0.8)))
    alone, many = (list(DataLoader(samples, batch_size=4, sampler=range(24), num_workers=n)) for n in (0, 2))
    assert len(alone) == 6
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(alone, many, strict=True))


@pytest.mark.parametrize(
    ("processes", "workers", "restart_after"), [(1, 2, 1), (2, 0, 2), (4, 0, 3), (2, 1, 1)]
)
def test_processes_workers_and_restarts_change_no_step(
    tmp_path: Path, processes: int, workers: int, restart_after: int
) -> None:
    """The samples of each step, whoever makes them and however often they begin again."""
    corpus = packed(tmp_path, [document(i, LANGUAGES[i % 3]) for i in range(30)])
    made = recipe(stages=[{"seq_len": 32, "micro_batch": 2, "batch": 8}], fim={"rate": 0.8})

    def steps(size: int, workers: int, first_step: int, last_step: int) -> list[set[tuple[int, ...]]]:
        with_workers = replace(made, data=replace(made.data, workers=workers))
        accumulate = made.stages[0].accumulated(size)
        found: list[set[tuple[int, ...]]] = [set() for _ in range(first_step, last_step)]
        for rank in range(size):
            group = Group(rank=rank, size=size)
            batches = stage_batches(with_workers, 0, corpus, ENCODING, group, 8 * first_step)
            for step in found:
                for _ in range(accumulate):
                    inputs, targets = next(batches)
                    step |= {(*a, *b) for a, b in zip(inputs.tolist(), targets.tolist(), strict=True)}
        return found

    expected = steps(1, 0, 0, 4)
    assert all(len(step) == 8 for step in expected)
    restarted = steps(processes, workers, 0, restart_after) + steps(processes, workers, restart_after, 4)
    assert restarted == expected


def test_languages_have_their_exact_share_in_every_block(tmp_path: Path) -> None:
    corpus = packed(tmp_path, [document(i, LANGUAGES[i % 3]) for i in range(30)])
    weights = {"Python": 0.7, "*": 0.3}
    samples = TrainingSamples(corpus, ENCODING, FIM, DataOptions(seq_len=64, weights=weights, fim=PLAIN))
    python = list(samples.shares).index("Python")
    places = [samples.place(i) for i in range(2_000)]
    for block in (places[:1_000], places[1_000:]):
        assert sum(stream == python for stream, _ in block) == 700
    # No sample of a language is skipped or repeated.
    assert sorted(index for stream, index in places if stream == python) == list(range(1_400))


def test_a_language_that_the_corpus_lacks_is_named(tmp_path: Path) -> None:
    corpus = packed(tmp_path, [document(i) for i in range(9)])
    with pytest.raises(PackingError, match="Fortran"):
        TrainingSamples(corpus, ENCODING, FIM, DataOptions(seq_len=64, weights={"Fortran": 1.0}))
    with pytest.raises(RecipeError, match="weights"):
        DataOptions(weights={"Python": -1.0})


def test_document_ids_change_after_the_end_of_a_document() -> None:
    ids = torch.tensor([[5, 6, 0, 7, 0, 8], [1, 2, 3, 4, 5, 6]])
    expected = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0]])
    assert torch.equal(document_ids(ids, end_id=0), expected)
