"""A pack that is stopped between two epochs and continued gives the same numbers, to the bit."""

import os
import resource
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ae_model import Configuration, make_folds
from ae_model.configuration import EpochRecord
from ae_model.cross_validation import CrossValidation
from search.execution import checkpoints
from search.execution.checkpoints import CheckpointFile, checkpoint_file, clear_checkpoints, make_folder, trim_folder
from search.execution.packs import Pack
from search.execution.records import WorkerOptions

VALUES = np.random.default_rng(0).normal(size=(53, 6)).astype(np.float32)
FOLDS = make_folds(53, 5, seed=0)


def _pack(*, rates: tuple[float, ...] = (1e-3, 1e-2), **options: Any) -> CrossValidation:
    sizes = [(6, 5, 2), (6, 4, 2)]
    configurations = [
        Configuration(layer_sizes=s, learning_rate=rate, code_activation="linear", batch_size=4)
        for s, rate in zip(sizes, rates, strict=True)
    ]
    return CrossValidation(VALUES, configurations, folds=FOLDS, max_epochs=6, seed=1, **options)


def _values(record: EpochRecord) -> list[Any]:
    fields = record.train_mse, record.val_mse, record.val_fve, record.dead_code_units
    return [record.epoch, *(field.tolist() for field in fields)]


@pytest.mark.parametrize("stack_bytes", [1, 3000, 2**24], ids=["one by one", "in groups", "all at once"])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_continued_pack_is_the_undisturbed_one(
    stop: int, stack_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop at any epoch, through a file, every value of every later epoch has the same bits."""
    monkeypatch.setattr("ae_model.groups.MAX_STACK_STATE_BYTES", stack_bytes)
    whole = list(_pack())
    first = _pack()
    file = CheckpointFile(str(tmp_path), ["a", "b"], {"device": "cpu"})
    before = list(islice(first, stop))
    file.save(first.state())
    later = list(_pack(state=file.load()))
    assert len(before) + len(later) == len(whole) == 6
    for expected, found in zip(whole, [*before, *later], strict=True):
        assert {c: _values(r) for c, r in expected.items()} == {c: _values(r) for c, r in found.items()}


@pytest.mark.parametrize("stack_bytes", [1, 3000, 2**24], ids=["one by one", "in groups", "all at once"])
def test_who_has_diverged_stays_out(stack_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that diverged before the stop is not trained again; the other goes on as if alone."""
    monkeypatch.setattr("ae_model.groups.MAX_STACK_STATE_BYTES", stack_bytes)
    rates = (1e-3, float("inf"))
    whole = list(_pack(rates=rates))
    first = _pack(rates=rates)
    assert set(next(first)) == {0, 1}
    later = list(_pack(rates=rates, state=first.state()))
    assert [set(records) for records in later] == [{0}] * 5
    assert [_values(records[0]) for records in later] == [_values(records[0]) for records in whole[1:]]


def test_a_finished_pack_has_nothing_left() -> None:
    """The state after the last epoch is continued with no epoch at all."""
    pack = _pack()
    list(pack)
    assert list(_pack(state=pack.state())) == []


def test_another_packs_state_is_refused() -> None:
    """Other widths, another dtype, and a state that lacks a part are a ValueError, not a wrong result.

    A part is lacking where another version, which stores it in another way, has it under another name.
    """
    pack = _pack()
    next(pack)
    for part in pack.state():
        state = pack.state()
        state[f"older {part}"] = state.pop(part)
        with pytest.raises(ValueError, match="not one of these configurations'"):
            _pack(state=state)
    swapped = pack.state()
    swapped["0.members"] = swapped["0.members"].flip(0)
    with pytest.raises(ValueError, match="another grouping"):
        _pack(state=swapped)
    with pytest.raises(ValueError, match="another stack"):
        _pack(state=pack.state(), dtype=torch.float64)
    wider = Configuration(layer_sizes=(6, 5, 3), code_activation="linear", batch_size=4)
    with pytest.raises(ValueError, match="another stack"):
        CrossValidation(VALUES, [wider, wider], folds=FOLDS, max_epochs=6, seed=1, state=pack.state())


def test_a_file_for_every_pack(tmp_path: Path) -> None:
    """Another pack's file, or one made on another device, is never found; a file is replaced."""
    file = CheckpointFile(str(tmp_path), ["a", "b"], {"device": "cpu"})
    assert file.load() is None
    file.save({"x": torch.ones(2)})
    file.save({"x": torch.zeros(2)})
    again = CheckpointFile(str(tmp_path), ["a", "b"], {"device": "cpu"}).load()
    assert again is not None
    assert again["x"].tolist() == [0, 0]
    assert len(os.listdir(tmp_path)) == 1
    for other in ((["a", "b"], {"device": "cuda"}), (["a"], {"device": "cpu"}), (["b", "a"], {"device": "cpu"})):
        assert CheckpointFile(str(tmp_path), *other).load() is None


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"garbage", None], ids=["empty", "zeros", "garbage", "truncated"]
)
def test_a_damaged_file_is_none(content: bytes | None, tmp_path: Path) -> None:
    """Whatever stands in the file's place, the trial starts anew."""
    file = CheckpointFile(str(tmp_path), ["a"], {})
    file.save({"x": torch.ones(100)})
    (path,) = tmp_path.iterdir()
    assert set(safetensors.torch.load_file(path)) == {"x"}
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    assert file.load() is None
    assert file.reached() is None


def test_how_far_a_file_is(tmp_path: Path) -> None:
    """Its epoch, and who was still in training, are read without the rest of it."""
    pack = CrossValidation(
        VALUES, [Configuration(layer_sizes=(6, w, 2), batch_size=4) for w in (5, 4)], folds=FOLDS, max_epochs=[2, 5],
        seed=1,
    )  # fmt: skip
    file = CheckpointFile(str(tmp_path), ["a", "b"], {})
    assert file.reached() is None
    reached = []
    for _ in pack:
        file.save(pack.state())
        reached.append(file.reached())
    assert reached == [(1, [0, 1]), (2, [0, 1]), (3, [1]), (4, [1]), (5, [1])]


def test_where_the_folder_is_not_seen_nothing_is_kept(tmp_path: Path) -> None:
    """A worker on a host that does not share the folder goes on without checkpoints, and makes no folder."""
    file = CheckpointFile(str(tmp_path / "elsewhere"), ["a"], {})
    file.save({"x": torch.ones(1)})
    assert file.load() is None
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """A disk without room for it keeps the last checkpoint, and nothing of the new one."""
    file = CheckpointFile(str(tmp_path), ["a"], {})
    file.save({"x": torch.ones(10)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # no file may be larger
    try:
        file.save({"x": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == [file.name]
    state = file.load()
    assert state is not None
    assert len(state["x"]) == 10


def test_a_place_that_is_none_is_no_failure() -> None:
    """A node without the store's library, or without the network, trains without checkpoints."""
    for folder in ("hf://nobody/nothing", "nonsense://x", "relative"):
        file = CheckpointFile(folder, ["a"], {})
        file.save({"x": torch.ones(1)})
        assert file.load() is None
        clear_checkpoints(_options(folder), [_pack_of(["a"], {"a"})], recorded={"a": 1})
        trim_folder(folder)


def _options(folder: str) -> WorkerOptions:
    return WorkerOptions(device="cpu", n_threads=1, checkpoint_folder=folder, checkpoint_every_s=60)


def _pack_of(trial_ids: list[str], wanted: set[str]) -> Pack:
    configuration = Configuration(layer_sizes=(6, 2))
    return Pack(trials=dict.fromkeys(trial_ids, configuration), targets={t: 9 for t in trial_ids if t in wanted})


def test_another_search_has_other_checkpoints(tmp_path: Path) -> None:
    """Of the same trials, in the same folder: its samples may be others."""
    mine, other = (replace(_options(str(tmp_path)), search_id=name) for name in ("mine", "other"))
    pack = _pack_of(["a"], {"a"})
    checkpoint_file(pack, mine).save({"x": torch.ones(1)})
    assert checkpoint_file(pack, other).load() is None
    assert checkpoint_file(pack, mine).load() is not None


def test_a_folder_is_cleared(tmp_path: Path) -> None:
    """What no coming pack can use is deleted; what a pack left that is done stays, for more epochs."""
    folder = tmp_path / "checkpoints"
    make_folder(str(folder))
    options = _options(str(folder))
    state = {"epoch": torch.tensor(7), "configurations": torch.tensor([0, 1])}
    first_gone = state | {"configurations": torch.tensor([1])}
    packs = {
        "kept": (["a1", "a2"], state),
        "ledger is older": (["b1", "b2"], state),
        "nothing recorded": (["c1", "c2"], state),
        "a wanted one is not in it": (["d1", "d2"], first_gone),
        "the one not in it is done": (["e1", "e2"], first_gone),
        "no checkpoint of ours": (["f1", "f2"], {"x": torch.ones(1)}),
        "all done": (["g1", "g2"], state),
    }
    files = {name: CheckpointFile(str(folder), ids, options.arithmetic()) for name, (ids, _) in packs.items()}
    for name, (_, saved) in packs.items():
        files[name].save(saved)
    CheckpointFile(str(folder), ["of another search"], {}).save(state)
    (folder / "old.tmp").write_text("")
    every_id = {trial_id for ids, _ in packs.values() for trial_id in ids}
    recorded = dict.fromkeys(every_id, 7) | {"b2": 6}
    del recorded["c1"]
    asked = [_pack_of(ids, every_id - {"e1", "g1", "g2"}) for ids, _ in packs.values()]
    clear_checkpoints(options, asked, recorded=recorded)
    assert set(os.listdir(folder)) == {files[name].name for name in ("kept", "the one not in it is done", "all done")}


def test_nothing_is_cleared_where_the_folder_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is out of reach for a moment costs no checkpoint."""
    options = _options(str(tmp_path))
    checkpoint_file(_pack_of(["a"], {"a"}), options).save(
        {"epoch": torch.tensor(7), "configurations": torch.tensor([0])}
    )
    list_folder = checkpoints.fs.FileSelector
    refusals = iter([True])

    def refuse_once(folder: str) -> Any:
        if next(refusals, False):
            raise OSError("busy")
        return list_folder(folder)

    monkeypatch.setattr(checkpoints.fs, "FileSelector", refuse_once)
    clear_checkpoints(options, [_pack_of(["a"], {"a"})], recorded={"a": 7})
    assert len(list(tmp_path.iterdir())) == 1


def test_what_stays_of_a_search_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of the smaller checkpoints as there is room for, and nothing that is no checkpoint."""
    for name, n in (("small", 100), ("middle", 200), ("large", 1000)):
        CheckpointFile(str(tmp_path), [name], {}).save({"x": torch.ones(n)})
    (tmp_path / "old.tmp").write_text("")
    sizes = sorted(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    monkeypatch.setattr(checkpoints, "MAX_KEPT_BYTES", sizes[0] + sizes[1])
    trim_folder(str(tmp_path))
    assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == sizes[:2]


def test_the_folder_of_checkpoints(tmp_path: Path) -> None:
    """It is made with its parents; what is no place for files is refused in one line that names the setting."""
    make_folder(str(tmp_path / "a" / "b"))
    make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    for wrong in ("nonsense://x", "hf://x/y", str(tmp_path / "file" / "b"), str(tmp_path / "file")):
        with pytest.raises(ValueError, match=r"resources\.storage_path: .* cannot be used") as caught:
            make_folder(wrong)
        assert "\n" not in str(caught.value)
