"""search.tracking: what TensorBoard and MLflow are given, read back by their own readers."""

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_model import Configuration, EpochRecord, UserError
from search import parse_settings
from search.ledger import DIVERGED, FINISHED, RUNNING, Ledger
from search.monitor import Monitor
from search.settings import TrackingSettings
from search.tracking import process
from search.tracking.follow import Follower
from search.tracking.process import check_tracking, tracked
from search.tracking.records import Tracker

TRIALS = {name: Configuration(layer_sizes=sizes) for name, sizes in {"a1": (6, 5, 2), "b2": (6, 2)}.items()}
PCA = np.array([[0.5, 0.25, 0.75]])
N_SPLITS = 3

# MLflow's own calls of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def _record(epoch: int, *, n_folds: int = N_SPLITS) -> EpochRecord:
    folds = np.arange(1, n_folds + 1) / (epoch + 1)
    return EpochRecord(
        epoch=epoch, train_mse=folds / 2, val_mse=folds, val_fve=1 - folds, dead_code_units=np.zeros(n_folds, np.int64)
    )


def _mean(epoch: int) -> float:
    """The mean validation MSE of an epoch, over the first folds."""
    return sum(fold / (epoch + 1) for fold in (1, 2, 3)) / 3


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A search in the middle: one of two trials has three epochs."""
    directory = tmp_path / "birds"
    directory.mkdir()
    with Ledger(directory) as ledger:
        ledger.put("definition", {"search.n_splits": N_SPLITS})
        ledger.enter_trials(TRIALS)
        ledger.put_baseline([2], PCA)
        ledger.start("a1")
        ledger.record("a1", [_record(epoch) for epoch in (1, 2, 3)])
    return directory


def _go_on(directory: Path) -> None:
    """The search comes to its end: one trial has two more epochs, the other diverged, and there is a model."""
    with Ledger(directory) as ledger:
        ledger.record("a1", [_record(4), _record(5)], status=FINISHED)
        nothing = np.full(N_SPLITS, math.nan)
        diverged = EpochRecord(
            epoch=1, train_mse=nothing, val_mse=nothing, val_fve=nothing, dead_code_units=np.zeros(N_SPLITS, np.int64)
        )
        ledger.record("b2", [diverged], status=DIVERGED)
    best = directory / "best"
    best.mkdir()
    (best / "model.json").write_text(json.dumps({"metadata": {"trial_id": "a1", "epochs": 5}}))
    (best / "evaluation.json").write_text(json.dumps({"trial_id": "a1", "mse": 0.125, "fve": 0.75, "psnr_db": None}))
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(best / "reconstructions.png")


def _follow(directory: Path, make: Callable[[], Tracker]) -> list[str]:
    """What a process of its own would do, from its start to its end; what it complains of."""
    said: list[str] = []
    follower = Follower(directory, {"it": make}, said.append)
    follower.look()
    follower.look_at_all_results()
    follower.finish()
    follower.close()
    return said


@pytest.fixture
def tensorboard(directory: Path) -> Callable[[], Tracker]:
    """Makes a tracker for the search, as a process of its own does."""
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from search.tracking.for_tensorboard import TensorBoardTracker

    return lambda: TensorBoardTracker(directory / "tensorboard")


def _scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every tag, by TensorBoard's own reader; nothing is thinned out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_gets_every_epoch_once(directory: Path, tensorboard: Callable[[], Tracker]) -> None:
    """Means over the first folds, PCA's line, results and test figures; a second and a third run add what is new."""
    assert _follow(directory, tensorboard) == []
    run = directory / "tensorboard" / "6-5-2_a1"
    assert [step for step, _ in _scalars(run)["mse/validation"]] == [1, 2, 3]
    _go_on(directory)
    for _ in range(3):
        assert _follow(directory, tensorboard) == []
    found = _scalars(run)
    assert found["mse/validation"] == [(epoch, pytest.approx(_mean(epoch))) for epoch in range(1, 6)]
    assert found["fve/validation"] == [(epoch, pytest.approx(1 - _mean(epoch))) for epoch in range(1, 6)]
    assert found["mse/training"] == [(epoch, pytest.approx(_mean(epoch) / 2)) for epoch in range(1, 6)]
    assert found["mse/validation of PCA"] == [(epoch, 0.5) for epoch in range(1, 6)]
    assert found["result/val_mse_mean"] == [(5, pytest.approx(_mean(5)))]
    assert found["result/best_epoch"] == [(5, 5)]
    assert (found["test/mse"], found["test/fve"]) == ([(5, 0.125)], [(5, 0.75)])
    assert "test/psnr_db" not in found, "what is not known is not written"
    ((step, value),) = _scalars(directory / "tensorboard" / "6-2_b2")["mse/validation"]
    assert step == 1
    assert math.isnan(value)


def test_tensorboard_gets_hyperparameters_and_the_picture(directory: Path, tensorboard: Callable[[], Tracker]) -> None:
    """The picture is of its own size; the hyperparameters are those of the configuration."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    _go_on(directory)
    for _ in range(2):
        assert _follow(directory, tensorboard) == []
    events = EventAccumulator(str(directory / "tensorboard" / "6-5-2_a1"))
    events.Reload()
    (picture,) = events.Images("picture/reconstructions")
    assert (picture.width, picture.height) == (6, 4)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = metadata.parse_session_start_info_plugin_data(content).hparams
    assert given["layer_sizes"].string_value == "6-5-2"
    assert given["learning_rate"].number_value == TRIALS["a1"].learning_rate
    assert given["status"].string_value == FINISHED


def test_a_torn_event_file_is_gone_on_with(directory: Path, tensorboard: Callable[[], Tracker]) -> None:
    """What a killed writer left half written is written again, and nothing else is."""
    _follow(directory, tensorboard)
    (path,) = (directory / "tensorboard" / "6-5-2_a1").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert _follow(directory, tensorboard) == []
    found = _scalars(path.parent)
    assert [step for step, _ in found["mse/validation"]] == [1, 2, 3]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store of MLflow without any run: its tables take seconds to make."""
    for module in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(module, reason="the extra mlflow is not installed")
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The address of a store of the test's own."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"


def test_mlflow_gets_every_epoch_once(directory: Path, store: str) -> None:
    """Like TensorBoard: parameters, all points, results, the end of each trial, test figures and the picture."""
    from mlflow.tracking import MlflowClient

    from search.tracking.for_mlflow import MlflowTracker

    def make() -> Tracker:
        return MlflowTracker(store, experiment="birds", search_id="x", artifacts=directory / "mlflow")

    assert _follow(directory, make) == []
    _go_on(directory)
    for _ in range(3):
        assert _follow(directory, make) == []
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("birds")
    runs = {run.data.tags["ae_search.trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == TRIALS.keys()
    good, diverged = runs["a1"], runs["b2"]
    points = client.get_metric_history(good.info.run_id, "mse_validation")
    assert [(point.step, point.value) for point in points] == [(e, pytest.approx(_mean(e))) for e in range(1, 6)]
    for name, value in {
        "fve_validation": 1 - _mean(5),
        "mse_training": _mean(5) / 2,
        "mse_validation_of_pca": 0.5,
        "result_val_mse_mean": _mean(5),
        "result_epochs": 5,
        "test_mse": 0.125,
    }.items():
        assert good.data.metrics[name] == pytest.approx(value)
        assert len(client.get_metric_history(good.info.run_id, name)) == (
            1 if "_" in name[:7] and name[0] in "rt" else 5
        )
    assert good.data.params["layer_sizes"] == "6-5-2"
    assert (good.info.status, good.data.tags["ae_search.status"]) == ("FINISHED", FINISHED)
    assert (diverged.info.status, diverged.data.tags["ae_search.status"]) == ("FAILED", DIVERGED)
    assert [file.path for file in client.list_artifacts(good.info.run_id)] == ["reconstructions.png"]
    assert good.data.tags["ae_search.winner"] == "true"
    assert (directory / "mlflow").is_dir(), "pictures lie beside the search, not in the working directory"


def test_another_search_of_the_same_name_keeps_its_own_runs(directory: Path, store: str) -> None:
    """Two searches in one experiment do not take each other's runs."""
    from mlflow.tracking import MlflowClient

    from search.tracking.for_mlflow import MlflowTracker

    for search_id in ("x", "y", "x"):
        assert not _follow(
            directory,
            lambda search_id=search_id: MlflowTracker(  # type: ignore[misc]
                store, experiment="birds", search_id=search_id, artifacts=directory / "mlflow"
            ),
        )
    client = MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("birds").experiment_id])
    assert sorted(run.data.tags["ae_search.search"] for run in runs) == ["x", "y"]


def test_a_repeat_changes_the_result_and_no_epoch(directory: Path, tensorboard: Callable[[], Tracker]) -> None:
    """Curves stay those of the first folds; the result follows the table, over all folds."""
    from search import load_trials

    _go_on(directory)
    _follow(directory, tensorboard)
    with Ledger(directory) as ledger:
        ledger.put_baseline([2], PCA, first_fold=N_SPLITS)
        other = [_record(epoch, n_folds=N_SPLITS) for epoch in range(1, 6)]
        ledger.record("a1", [_scaled(record) for record in other], status=None, first_fold=N_SPLITS)
    assert _follow(directory, tensorboard) == []
    found = _scalars(directory / "tensorboard" / "6-5-2_a1")
    assert found["mse/validation"] == [(epoch, pytest.approx(_mean(epoch))) for epoch in range(1, 6)]
    expected = float(load_trials(directory).set_index("trial_id").loc["a1", "val_mse_mean"])
    assert expected != pytest.approx(_mean(5))
    assert found["result/val_mse_mean"][-1] == (5, pytest.approx(expected))


def _scaled(record: EpochRecord) -> EpochRecord:
    return EpochRecord(
        epoch=record.epoch,
        train_mse=record.train_mse,
        val_mse=record.val_mse * 2,
        val_fve=record.val_fve,
        dead_code_units=record.dead_code_units,
    )


def test_one_that_fails_does_not_keep_others_from_theirs(directory: Path, tensorboard: Callable[[], Tracker]) -> None:
    """It is named in a line, and is not tried again."""
    said: list[str] = []

    def fail() -> Tracker:
        raise OSError("no\nroute")

    follower = Follower(directory, {"MLflow": fail, "TensorBoard": tensorboard}, said.append)
    follower.look()
    follower.close()
    (line,) = said
    assert line.startswith("MLflow: ")
    assert "no route" in line
    assert "the same command run again completes it" in line
    assert _scalars(directory / "tensorboard" / "6-5-2_a1")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes requests and never answers."""
    release = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(60)

        do_POST = do_GET  # noqa: N815  # http.server's names

    server = HTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////proc/none/x.db", "silent"])
def test_an_address_that_is_of_no_use_is_one_line(
    uri: str, directory: Path, silent_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block runs as if nothing were; a server that does not answer is waited for, but not for long."""
    for module in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(module, reason="the extra mlflow is not installed")
    monkeypatch.setattr(process, "CATCH_UP_S", 2.0 if uri == "silent" else 60.0)
    settings = TrackingSettings(mlflow=silent_server if uri == "silent" else uri)
    ran = []
    with Ledger(directory) as ledger, tracked(settings, directory, ledger, Monitor(enabled=False)):
        ran.append(True)
    assert ran
    output, errors = capsys.readouterr()
    (line,) = errors.splitlines()
    assert output == ""
    assert "the same command run again completes it" in line


def test_a_search_that_fails_is_not_held_up(directory: Path, silent_server: str) -> None:
    """Its own error comes through, and no process is left."""
    for module in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(module, reason="the extra mlflow is not installed")
    with (
        pytest.raises(KeyboardInterrupt),
        Ledger(directory) as ledger,
        tracked(TrackingSettings(mlflow=silent_server), directory, ledger, Monitor(enabled=False)),
    ):
        raise KeyboardInterrupt


def test_nothing_is_started_where_nothing_is_asked_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults ask for nothing."""
    monkeypatch.setattr(process.subprocess, "Popen", None)
    with Ledger(directory) as ledger, tracked(TrackingSettings(), directory, ledger, Monitor(enabled=False)):
        pass
    assert parse_settings({}).tracking == TrackingSettings(tensorboard=False, mlflow=None)


def test_a_missing_package_is_said_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"tracking\.tensorboard needs .* pip install 'ae-search\[tensorboard\]'"):
        check_tracking(TrackingSettings(tensorboard=True))


def test_a_store_in_a_file_is_the_same_wherever_the_next_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path becomes an absolute one; servers and absolute paths stay."""
    monkeypatch.chdir(tmp_path)
    found = {
        uri: parse_settings({"tracking": {"mlflow": uri}}).tracking.mlflow
        for uri in ("sqlite:///mlflow.db", "sqlite:////srv/x.db", "http://localhost:5000")
    }
    assert found == {
        "sqlite:///mlflow.db": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "sqlite:////srv/x.db": "sqlite:////srv/x.db",
        "http://localhost:5000": "http://localhost:5000",
    }


def test_running_trials_have_no_result_yet(directory: Path) -> None:
    """Only what has ended has one, and it is told once."""

    class Noting:
        name = "it"

        def __init__(self) -> None:
            self.results: list[tuple[str, str, int]] = []
            self.last: dict[str, int] = {}

        def last_epochs(self) -> Mapping[str, int]:
            return self.last

        def write_epochs(self, trial: object, epochs: object) -> None:
            pass

        def write_result(self, trial: object, status: str, epochs: int, _: object) -> None:
            self.results.append((trial.trial_id, status, epochs))  # type: ignore[attr-defined]

        def write_winner(self, trial: object, figures: object, pictures: object) -> None:
            pass

        def close(self) -> None:
            pass

    noting = Noting()
    follower = Follower(directory, {"it": lambda: noting}, print)
    follower.look()
    assert noting.results == []
    with Ledger(directory) as ledger:
        ledger.record("a1", [], status=RUNNING)
    follower.look()
    assert noting.results == []
    _go_on(directory)
    follower.look()
    follower.look()
    assert noting.results == [("a1", FINISHED, 5), ("b2", DIVERGED, 1)]
