"""Checkpoints in S3: the object store is a server of its own that speaks it, moto."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
import torch
from moto.server import ThreadedMotoServer
from pyarrow import fs

from ae_model.errors import UserError
from search import load_epochs, parse_settings
from search.execution import checkpoints
from search.execution.checkpoints import CheckpointFile, make_folder, subfolder, trim_folder
from search.settings_files import to_toml

pytestmark = pytest.mark.slow

COMMAND = [str(Path(sys.executable).with_name("ae-search")), "run", "settings.toml"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URI of a folder in a bucket; what reads it finds its keys in the environment."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    address = "{}:{}".format(*server.get_host_and_port())
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=f"http://{address}", region_name="us-east-1")
        client.create_bucket(Bucket="searches")
        yield f"s3://searches/ae?scheme=http&endpoint_override={address}&region=us-east-1"
    server.stop()


def test_a_checkpoint_in_s3(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced, read in part and as a whole, kept where there is room and deleted where there is none."""
    folder = subfolder(bucket, "one")
    make_folder(folder)
    file = CheckpointFile(folder, ["a", "b"], {"device": "cpu"})
    assert file.load() is None
    for epoch in (3, 4):
        file.save({"epoch": torch.tensor([epoch]), "configurations": torch.tensor([0, 1]), "w": torch.ones(5)})
        assert file.reached() == (epoch, [0, 1])
    state = file.load()
    assert state is not None
    assert state["w"].tolist() == [1] * 5
    assert _names(folder) == [file.name], "nothing else is left there"
    trim_folder(folder)
    assert file.reached() == (4, [0, 1])
    monkeypatch.setattr(checkpoints, "MAX_KEPT_BYTES", 0)
    trim_folder(folder)
    assert file.reached() is None
    assert _names(folder) == []


def test_a_bucket_that_is_not_there(bucket: str) -> None:
    """A line that names it, and no bucket is made."""
    folder = bucket.replace("searches", "other")
    with pytest.raises(UserError, match=r"resources.storage_path: s3://other/ae.* cannot be used \(Bucket 'other' not"):
        make_folder(folder)


def test_a_killed_search_goes_on_from_s3(bucket: str, table_csv: Path, tmp_path: Path) -> None:
    """What was reported before the checkpoint is not trained again."""
    settings = parse_settings(
        {
            "data": {"source": str(table_csv), "label_column": "kind", "scaling": "standard"},
            "bottleneck": {"code_sizes": [2]},
            "space": {"hidden": ["20-20-20"], "init": "random", "learning_rate": 0.001, "batch_size": 16},
            "search": {"n_splits": 3, "max_epochs": 1000},
            "resources": {"checkpoint_every_s": 0.5, "storage_path": subfolder(bucket, "search")},
        }
    )
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    directory = tmp_path / "results" / "birds"
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + 120
        while not _checkpoints(subfolder(bucket, "search")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < give_up
            time.sleep(0.1)
        process.kill()
    with closing(sqlite3.connect(directory / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE epochs SET train_mse = -1 WHERE epoch = 1")
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    epochs = load_epochs(directory)
    assert (epochs.loc[epochs["epoch"] == 1, "train_mse"] == -1).all(), "it was trained from the start"
    assert len(epochs) == 3 * epochs["epoch"].max()


def _names(folder: str) -> list[str]:
    filesystem, path = fs.FileSystem.from_uri(folder)
    return [info.base_name for info in filesystem.get_file_info(fs.FileSelector(path))]


def _checkpoints(folder: str) -> list[str]:
    filesystem, path = fs.FileSystem.from_uri(folder)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return [info.path for info in found if info.extension == "safetensors"]
