"""search.scoring and `ae-search score`: errors, p-values, alarms and features, by hand; files and pipes."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import UserError, load_model
from ae_model.persistence import ROWS_PER_PASS
from search import SearchResult, score
from search.score_text import score_text

COMMAND = [sys.executable, "-c", "from search.cli import script; script()"]


@pytest.fixture
def model_dir(searched: SearchResult, tmp_path: Path) -> Path:
    """A copy of a search's winner."""
    return Path(shutil.copytree(searched.directory / "best", tmp_path / "model"))


@pytest.fixture
def rows(table_csv: Path) -> pd.DataFrame:
    """Rows that lie far from the others, many enough for several blocks."""
    table = pd.read_csv(table_csv).drop(columns="kind")
    many = pd.concat([table] * (ROWS_PER_PASS // len(table) + 2), ignore_index=True)
    many.iloc[::10, 3] += 2.0  # column "d", whose values are about 0.1
    return many


def test_a_table_is_scored_as_by_hand(model_dir: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    """Errors in scaled units, conformal p-values, alarms, and shares of squared errors, in the rows' order."""
    rows.to_csv(tmp_path / "in.csv", index=False)
    found = score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv", false_alarm_rate=0.05)
    table = pd.read_csv(tmp_path / "out.csv")

    model = load_model(model_dir)
    squared = np.square(model.scaling.transform(rows.to_numpy("f4")) - model.scaling.transform(model.reconstruct(rows)))
    mse = squared.mean(axis=1)
    usual = pd.read_csv(model_dir / "out_of_fold.csv")["mse"].to_numpy()
    np.testing.assert_allclose(table["mse"], mse, rtol=1e-5)
    p = (1 + (usual[None] >= mse[:, None]).sum(axis=1)) / (len(usual) + 1)
    np.testing.assert_allclose(table["p_value"], p, rtol=1e-5)
    np.testing.assert_array_equal(table["alarm"], p <= 0.05)
    order = np.argsort(-squared, axis=1)[:, :3]
    for place in range(3):
        shares = np.take_along_axis(squared, order, axis=1)[:, place] / squared.sum(axis=1)
        np.testing.assert_allclose(table[f"share_{place + 1}"], shares, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(table["feature_1"], np.array(list(rows.columns))[order[:, 0]])
    assert (table["feature_1"][::10] == "d").all()  # what was changed is what is named
    assert table["alarm"][::10].all()

    assert found.alarms is not None
    assert (found.n_rows, found.alarms.n) == (len(rows), table["alarm"].sum())
    assert found.alarms.threshold.n_usual == len(usual)
    at = found.alarms.threshold
    np.testing.assert_array_equal(table["alarm"], mse > at.mse)


def test_parquet_is_the_same_table(model_dir: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    """Numbers, texts and truth values, in whatever kind of file."""
    rows.to_parquet(tmp_path / "in.parquet")
    score(model_dir, tmp_path / "in.parquet", tmp_path / "out.parquet")
    score(model_dir, tmp_path / "in.parquet", tmp_path / "out.csv")
    by_parquet, by_csv = pd.read_parquet(tmp_path / "out.parquet"), pd.read_csv(tmp_path / "out.csv")
    assert list(by_parquet.columns) == list(by_csv.columns)
    assert by_parquet["alarm"].dtype == bool
    for name in by_parquet.columns:
        assert (by_csv[name].astype(by_parquet[name].dtype) == by_parquet[name]).all(), name


def test_the_command_in_a_pipe(model_dir: Path, rows: pd.DataFrame) -> None:
    """Rows, with their names, on standard output alone; what is to be said of them on standard error."""
    text = rows.head(50).to_csv()  # with its index
    command = [*COMMAND, "score", str(model_dir), "-", "-", "--false-alarm-rate", "0.1"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    table = pd.read_csv(io.StringIO(done.stdout))
    assert list(table.columns[:4]) == ["row", "mse", "p_value", "alarm"]
    assert table["row"].tolist() == list(range(50))
    assert "standard output: 50 rows" in done.stderr
    assert f"{table['alarm'].sum()} alarms" in done.stderr


def test_without_out_of_fold_errors(model_dir: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    """As beside a model of an earlier version: errors and features, no alarms, and it says why."""
    (model_dir / "out_of_fold.csv").unlink()
    rows.to_csv(tmp_path / "in.csv", index=False)
    found = score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv")
    assert found.alarms is None
    assert list(pd.read_csv(tmp_path / "out.csv").columns)[:2] == ["mse", "feature_1"]
    assert "no p-values and no alarms" in score_text(found, "out.csv")
    with pytest.raises(UserError, match=r"needs out_of_fold\.csv"):
        score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv", false_alarm_rate=0.1)


def test_words(model_dir: Path, rows: pd.DataFrame, table_csv: Path, tmp_path: Path) -> None:
    """What differs from the search is called greater, and what does not is not."""
    rows.assign(d=rows["d"] + 2).to_csv(tmp_path / "far.csv", index=False)
    far = score_text(score(model_dir, tmp_path / "far.csv", tmp_path / "o.csv"), "o.csv")
    assert "errors much greater than in the search" in far
    assert "100 % of pairs (p < 0.0001)" in far
    usual = np.sort(pd.read_csv(model_dir / "out_of_fold.csv")["mse"])
    mse = pd.read_csv(tmp_path / "o.csv")["mse"]
    counts = [
        (k / (len(usual) + 1), int((mse > usual[len(usual) - k]).sum()))
        for k in (int(rate * (len(usual) + 1)) for rate in (0.05, 0.1))
    ]
    parts = [f"{n} at {rate:.2g} (usual {len(mse) * rate:.3g})" for rate, n in counts]
    assert f"  at higher rates: {', '.join(parts)}; --false-alarm-rate sets it" in far.splitlines()
    high = score_text(score(model_dir, tmp_path / "far.csv", tmp_path / "o.csv", false_alarm_rate=0.2), "o.csv")
    assert "at higher rates" not in high
    near = score_text(score(model_dir, table_csv, tmp_path / "o.csv"), "o.csv")
    assert "much greater" not in near


def test_what_is_refused(model_dir: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    """Nothing is written where something is wrong."""
    rows.to_csv(tmp_path / "in.csv", index=False)
    for name in ("out.npy", "out"):
        with pytest.raises(UserError, match=r"the suffix of OUTPUT must be \.csv or \.parquet"):
            score(model_dir, tmp_path / "in.csv", tmp_path / name)
    with pytest.raises(UserError, match="false_alarm_rate must be at least"):
        score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv", false_alarm_rate=1e-6)
    (model_dir / "out_of_fold.csv").write_text("row,fold\n0,0\n")
    with pytest.raises(UserError, match=r"out_of_fold\.csv: cannot be read"):
        score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv")
    (model_dir / "out_of_fold.csv").write_text("row,fold,mse\n0,0,\n")
    with pytest.raises(UserError, match="every row must have an error"):
        score(model_dir, tmp_path / "in.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
