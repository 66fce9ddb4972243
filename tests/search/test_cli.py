"""The command `ae-search`: exit status, standard output and standard error of every subcommand."""

import errno
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import UserError, load_model
from search import SearchResult, console, load_trials
from search.errors import SearchError
from search.ledger import Ledger
from search.settings_files import search_settings

Run = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., str]

COMMANDS = [
    "run",
    "bottleneck",
    "status",
    "trials",
    "compare",
    "select",
    "retrain",
    "evaluate",
    "encode",
    "decode",
    "reconstruct",
    "export",
]


def _ae_search(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    command = [Path(sys.executable).with_name("ae-search"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_installed_command(one_line: OneLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It behaves as the function does: status, and one line on standard error."""
    monkeypatch.chdir(tmp_path)
    done = _ae_search("run", "--data", "none.csv", "--results-dir", "results")
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr, "none.csv")
    done = _ae_search("run", "--nope")
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr, "--nope")
    assert not list(tmp_path.iterdir())


def test_help(run: Run) -> None:
    """Without arguments, and with --help, every command is listed; each command has a help of its own."""
    for arguments in ([], ["--help"]):
        status, output, errors = run(*arguments)
        assert (status, errors) == (0, "")
        assert all(f"  {command} " in output for command in COMMANDS)
    for command in COMMANDS:
        status, output, errors = run(command, "--help")
        assert (status, errors) == (0, "")
        assert f"ae-search {command}" in output


def test_help_imports_nothing_slow() -> None:
    """`ae-search --help` answers before torch, pandas or Ray are imported."""
    code = (
        "import sys; sys.argv = ['ae-search', '--help']\n"
        "from search.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "print({'ray', 'torch', 'pandas', 'sklearn', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary files go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("rule must be 'a', but is 'b'. Give it.", argument="rule"), 2, "--rule must be 'a', but is 'b'."),
        (UserError("data.csv: rule 7 is empty. Fill it."), 2, "data.csv: rule 7 is empty. Fill it."),
        (SearchError("Ray's own raylet was killed.\nGo on."), 1, "Ray's own raylet was killed. Go on."),
        (OSError(errno.ENOSPC, "No space left", "a.csv"), 1, "a.csv: No space left. What was finished is kept; fix"),
        (OSError(errno.EROFS, "Read-only file system"), 1, "Read-only file system. What was finished is kept; fix"),
    ],
)
def test_errors_that_need_no_traceback(
    run: Run, one_line: OneLine, monkeypatch: pytest.MonkeyPatch, temporary: Path, error: Exception, status: int,
    line: str,
) -> None:  # fmt: skip
    """What users can fix is status 2, what the machine did is status 1; each is one line, and no log is written."""

    def fail(_: Path) -> str:
        raise error

    monkeypatch.setattr(console, "status_text", fail)
    found, output, errors = run("status", "x")
    assert (found, output) == (status, "")
    assert one_line(errors).startswith(f"ae-search: {line}")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("operands could not be broadcast"), "ValueError: operands could not be broadcast"),
        (RuntimeError("\nCUDA error: unknown\nCompile with TORCH_USE_CUDA_DSA"), "RuntimeError: CUDA error: unknown"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a.csv"),
            "FileNotFoundError: [Errno 2] No such file: 'a.csv'",
        ),
        (AssertionError(), "AssertionError"),
    ],
)
def test_faults_of_the_program_keep_their_traceback(
    run: Run, one_line: OneLine, monkeypatch: pytest.MonkeyPatch, temporary: Path, error: Exception, name: str
) -> None:
    """They are status 1 and a line that does not blame the input; the traceback is in a log, or on standard error."""

    def fail_here(_: Path) -> str:
        raise error

    monkeypatch.setattr(console, "status_text", fail_here)
    status, output, errors = run("status", "x")
    assert (status, output) == (1, "")
    (log,) = temporary.iterdir()
    line = one_line(errors, "This is a fault of ae-search or of a library, not of your input.")
    assert line.startswith(f"ae-search: unexpected error: {name} (details in {log}; --debug shows them). This")
    assert "fail_here" in log.read_text()
    log.unlink()
    for arguments in (("--debug", "status", "x"), ("status", "x", "--debug")):
        status, output, errors = run(*arguments)
        assert (status, output) == (1, "")
        *_, last = errors.splitlines()
        assert errors.startswith("Traceback")
        assert "fail_here" in errors
        assert last.startswith(f"ae-search: unexpected error: {name}. This is a fault")
        assert not list(temporary.iterdir())


def test_a_fault_where_no_log_can_be_written(
    run: Run, one_line: OneLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The line still comes, and says how to see the rest."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    monkeypatch.delattr(console, "status_text")
    status, output, errors = run("status", "x")
    assert (status, output) == (1, "")
    one_line(errors, "unexpected error: AttributeError: ", "(details: --debug shows them)")


def test_bottleneck(run: Run) -> None:
    """A line for each fraction of the variance, in the order they were asked for, although two need the same size."""
    status, output, errors = run("bottleneck")
    assert (status, len(errors.splitlines())) == (0, 2)
    assert errors.splitlines()[1] == (
        """  ae-search run --set 'search.algorithm="smallest-code"' --set search.target_fve=0.95"""
    )
    assert output == "0.95: 28 components explain 95.05% of the variance of digits (1437 samples, 64 features)\n"
    fractions = ["0.95", "0.5", "0.9501", "0.1"]
    asked = [word for fraction in fractions for word in ("--explained-variance", fraction)]
    status, output, errors = run("bottleneck", "--data", "digits", *asked)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == [f"{fraction}:" for fraction in fractions]
    assert [int(line.split()[1]) for line in lines] == [28, 5, 28, 1]
    assert lines[-1].startswith("0.1: 1 component explains 15.")
    for fraction, line in zip(fractions, lines, strict=True):
        assert float(line.split()[4].rstrip("%")) >= 100 * float(fraction)


def test_bottleneck_scales_as_a_search_does(run: Run, tmp_path: Path) -> None:
    """By the settings' scaling, or that which suits the data; columns that it does not suit are named."""
    values = np.random.default_rng(0).normal(size=(100, 4)) @ np.diag([1, 1, 1, 1e3])
    values[7:10, 1] = 1e9
    pd.DataFrame(values, columns=list("abcd")).to_csv(tmp_path / "x.csv", index=False)
    command = ["bottleneck", "--data", tmp_path / "x.csv", "--explained-variance", "0.5", "--set"]
    found = {}
    for kind in ("range", "standard", "robust", "none"):
        status, found[kind], errors = run(*command, f"data.scaling={kind}")
        assert status == 0
        assert ("column 'b': a few extreme values (such as 1e+09)" in errors) == (kind != "none")
    assert found["range"] != found["standard"]
    assert run(*command, "seed=0")[1] == found["standard"]
    assert run(*command, "space.output_activation=tanh")[1] == found["range"]


def test_bottleneck_with_a_settings_file(run: Run, table_csv: Path, tmp_path: Path) -> None:
    """Data and fractions come from it; `--explained-variance` replaces what it says of the code size."""
    path = tmp_path / "search.toml"
    data = f"[data]\nsource = '{table_csv}'\nlabel_column = 'kind'\n[bottleneck]\n"
    path.write_text(f"{data}explained_variance = [0.5, 1.0]\n")
    status, output, errors = run("bottleneck", path)
    assert (status, len(errors.splitlines())) == (0, 2)
    assert f"ae-search run {path} " in errors
    first, second = output.splitlines()
    assert first.startswith("0.5: ")
    assert second == "1: 6 components explain 100.00% of the variance of birds (72 samples, 6 features)"
    path.write_text(f"{data}code_sizes = [2, 3]\n")
    lines = run("bottleneck", path)[1].splitlines()
    assert [line.partition(" explain ")[0] for line in lines] == ["2 components", "3 components"]
    assert run("bottleneck", path, "--explained-variance", 1)[1] == f"{second}\n"


def test_a_preset(run: Run, one_line: OneLine, local_ray: None, table_csv: Path, tmp_path: Path) -> None:
    """A search that starts from one writes all of its settings, and is run again without it; others are refused."""
    quick = ["--set", "space.hidden=5", "--set", "search.max_epochs=1", "--set", "search.n_splits=2"]
    arguments = ["--data", table_csv, "--results-dir", tmp_path, "--set", "data.label_column=kind", *quick]
    assert run("run", "--preset", "reference", *arguments)[0] == 0
    settings = search_settings(tmp_path / "birds")
    assert (settings.space.code_activation, settings.space.output_activation) == (["relu"], "tanh")
    assert (settings.space.init, settings.space.hidden, settings.search.max_epochs) == (["random"], ["5"], 1)
    assert run("run", tmp_path / "birds" / "settings.toml", "--results-dir", tmp_path)[0] == 0
    assert len(load_trials(tmp_path / "birds")) == 1, "it is the same configuration"
    for command in ("run", "bottleneck"):
        status, output, errors = run(command, "--preset", "best")
        assert (status, output) == (2, "")
        one_line(errors, "--preset must be one of reference, but is 'best'.")
    assert run("bottleneck", "--preset", "reference")[:2] == run("bottleneck")[:2]


def test_status_and_trials(run: Run, searched: SearchResult) -> None:
    """Status in words, trials as a table, as CSV and as JSON."""
    status, output, errors = run("status", searched.directory)
    assert (status, errors) == (0, "")
    assert "4 finished" in output
    status, output, errors = run("trials", searched.directory, "--top", 1)
    assert (status, errors) == (0, "")
    assert searched.selection.trial_id in output
    arguments = ("trials", searched.directory, "--sort", "val_fve_mean", "--top", "2", "--format")
    status, output, errors = run(*arguments, "csv")
    assert (status, errors) == (0, "")
    expected = searched.trials.sort_values("val_fve_mean")["trial_id"].head(2).tolist()
    table = pd.read_csv(io.StringIO(output), dtype={"trial_id": str})
    assert list(table.columns) == list(searched.trials.columns)
    assert table["trial_id"].tolist() == expected
    status, output, errors = run(*arguments, "json")
    assert (status, errors) == (0, "")
    assert [record["trial_id"] for record in json.loads(output)] == expected


def test_trials_on_conditions_and_of_several_searches(run: Run, searched: SearchResult, search_copy: Path) -> None:
    """`--where` and `--columns`, with blanks between the names or without, and more than one directory."""
    arguments = ("trials", searched.directory, search_copy, "--columns", "trial_id, search,rank", "--format", "csv")
    status, output, errors = run(*arguments, "--where", "rank == 1")
    assert (status, errors) == (0, "")
    header, *lines = output.splitlines()
    assert header == "trial_id,search,rank"
    assert [(line.split(",")[0], line.split(",")[2]) for line in lines] == [(searched.selection.trial_id, "1")] * 2


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--sort", "colour"], ["--sort", "colour"]),
        (["--format", "xml"], ["--format", "xml"]),
        (["--columns", "rank,colour"], ["--columns", "colour"]),
        (["--where", "colour == 'red'"], ["--where names 'colour'", "The columns are trial_id"]),
        (["--where", "rank.abs() == @x"], ["--where must be a condition", "'rank.abs() == @x' cannot be read"]),
    ],
)
def test_trials_with_wrong_options(
    run: Run, one_line: OneLine, searched: SearchResult, arguments: list[str], parts: list[str]
) -> None:
    """One line, and no half of a table before it."""
    status, output, errors = run("trials", searched.directory, *arguments)
    assert (status, output) == (2, "")
    one_line(errors, *parts)


def test_outputs_that_take_nothing(searched: SearchResult) -> None:
    """A full output is an error with its line; one that is closed is left alone, and its reader may stop reading."""
    command = [str(Path(sys.executable).with_name("ae-search")), "status", str(searched.directory)]
    reading, writing = os.pipe()
    os.close(reading)
    outcomes = []
    with open(writing, "wb") as broken, open("/dev/full", "wb") as full:
        for output in (broken, full):
            done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
            outcomes.append((done.returncode, done.stderr.partition(".")[0]))
    for closed in (">&-", "2>&-"):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *command], capture_output=True, text=True, check=False
        )
        outcomes.append((done.returncode, done.stderr))
    assert outcomes == [(1, ""), (1, "ae-search: No space left on device"), (0, ""), (0, "")]


@pytest.mark.parametrize("rule", ["best", "one-se", "smallest-code"])
def test_select(run: Run, search_copy: Path, rule: str) -> None:
    """The winner by a rule is printed and written."""
    status, output, errors = run("select", search_copy, "--rule", rule)
    assert (status, errors) == (0, "")
    written = json.loads((search_copy / "selection.json").read_text())
    assert written["rule"] == rule
    assert repr(rule) in output
    assert written["trial_id"] in output
    trained = load_model(search_copy / "best").metadata["trial_id"]
    last = output.splitlines()[-1]
    if written["trial_id"] == trained:
        assert last == f"Already trained: {search_copy / 'best'}"
    else:
        assert last == f"Train it: ae-search retrain {search_copy}"
    description = search_copy / "best" / "model.json"
    description.write_text(description.read_text().replace(trained, "another"))
    for _ in range(2):
        assert run("select", search_copy, "--rule", rule)[1].endswith(f"Train it: ae-search retrain {search_copy}\n")
        description.unlink(missing_ok=True)


def test_a_target_on_the_command_line(run: Run, search_copy: Path) -> None:
    """It names its rule; what follows keeps both."""
    for arguments in (("--target-fve", "0.2"), ("--rule", "target-fve", "--target-fve", "0.2")):
        status, output, errors = run("select", search_copy, *arguments)
        assert (status, errors) == (0, "")
        assert output.startswith("Winner by the rule 'target-fve', of ")
        assert "  the smallest code that reaches the FVE 0.2, of those that were tried\n" in output
        written = json.loads((search_copy / "selection.json").read_text())
        assert (written["rule"], written["target_fve"]) == ("target-fve", 0.2)
    for further in ((), ("--target-fve", "0.9999")):
        assert run("retrain", search_copy, *further)[0] == 0
        written = json.loads((search_copy / "selection.json").read_text())
        assert (written["rule"], written["target_fve"]) == ("target-fve", float(further[-1]) if further else 0.2)
        assert load_model(search_copy / "best").metadata["trial_id"] == written["trial_id"]


def test_retrain_and_evaluate(run: Run, one_line: OneLine, search_copy: Path) -> None:
    """A trial that is named becomes a model of its own, with a picture, and is evaluated on the same test rows."""
    last = load_trials(search_copy).sort_values("rank")["trial_id"].iloc[-1]
    status, output, errors = run("retrain", search_copy, "--trial", last)
    assert (status, errors) == (0, "")
    model_dir = search_copy / f"trial-{last}"
    assert str(model_dir) in output
    assert (model_dir / "training_loss.png").is_file()
    status, output, errors = run("evaluate", model_dir)
    assert (status, errors) == (0, "")
    written = json.loads((model_dir / "evaluation.json").read_text())
    assert f"MSE {written['mse']:.5f}" in output
    status, output, errors = run("evaluate", model_dir, "--data", "digits")
    assert (status, output) == (2, "")
    one_line(errors, "digits has 64 features", "takes 6")


def test_encode_decode_reconstruct(run: Run, searched: SearchResult, table_csv: Path, tmp_path: Path) -> None:
    """The table that was searched, with its column of text, goes through all three."""
    model_dir = searched.model_dir
    codes, decoded, reconstructed = (tmp_path / name for name in ("codes.csv", "decoded.parquet", "x.npy"))
    assert run("encode", model_dir, table_csv, codes) == (0, f"{codes}: 90 rows, 2 columns\n", "")
    assert run("decode", model_dir, codes, decoded) == (0, f"{decoded}: 90 rows, 6 columns\n", "")
    assert run("reconstruct", model_dir, table_csv, reconstructed) == (0, f"{reconstructed}: 90 rows, 6 columns\n", "")
    x = pd.read_csv(table_csv)[list("abcdef")].to_numpy()
    trained = load_model(model_dir)
    np.testing.assert_allclose(pd.read_csv(codes).to_numpy(), trained.encode(x), rtol=1e-6)
    assert list(pd.read_parquet(decoded).columns) == list("abcdef")
    np.testing.assert_allclose(pd.read_parquet(decoded).to_numpy(), trained.reconstruct(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.load(reconstructed), trained.reconstruct(x))


def test_run_of_a_finished_search(run: Run, one_line: OneLine, search_copy: Path) -> None:
    """Given its own settings, a search that is done says so without Ray and trains nothing: the same winner."""
    before = (search_copy / "trials.csv").read_bytes()
    status, output, errors = run("run", search_copy / "settings.toml", "--results-dir", search_copy.parent)
    assert (status, errors) == (0, "Nothing is left to train\n")
    assert "Winner by the rule 'best', of 4 finished trials" in output
    assert (search_copy / "trials.csv").read_bytes() == before
    status, output, errors = run(
        "run", search_copy / "settings.toml", "--results-dir", search_copy.parent, "--set", "seed=6"
    )
    assert (status, output) == (2, "")
    one_line(errors, "seed (5 there, 6 now)", "--name")


def test_starting_over(run: Run, one_line: OneLine, search_copy: Path, local_ray: None) -> None:
    """`--fresh` moves the search aside, says where to, and finds the same again; what is in use, or is none, stays."""
    before = load_trials(search_copy)
    command = ("run", search_copy / "settings.toml", "--results-dir", search_copy.parent, "--fresh")
    with Ledger(search_copy):
        status, output, errors = run(*command)
    assert (status, output) == (2, "")
    one_line(errors, "another ae-search is running")
    toml = (search_copy / "settings.toml").read_text()
    for number in (1, 2):
        (search_copy.parent / "settings.toml").write_text(toml)
        status, output, errors = run("run", search_copy.parent / "settings.toml", *command[2:])
        assert status == 0, errors
        aside = search_copy.with_name(f"birds.{number}")
        assert f"{search_copy} was moved to {aside}; to continue the new one, leave out --fresh" in errors
        timed = ["fit_seconds", "host"]
        for directory in (aside, search_copy):
            pd.testing.assert_frame_equal(load_trials(directory).drop(columns=timed), before.drop(columns=timed))
    assert not (search_copy / "ledger.sqlite").samefile(aside / "ledger.sqlite")
    (search_copy.parent / "thesis").mkdir()
    status, output, errors = run("run", *command[1:], "--name", "thesis")
    assert (status, output) == (2, "")
    one_line(errors, "thesis: --fresh moves searches aside, but this is not a search directory")
    assert not (search_copy.parent / "thesis.1").exists()


def test_options_go_over_the_settings_file(run: Run, search_copy: Path, table_csv: Path) -> None:
    """`--data`, `--name` and `--set` replace what the file says."""
    toml = search_copy / "settings.toml"
    toml.write_text(toml.read_text().replace(str(table_csv), "/nowhere.csv"))
    arguments = ("--data", table_csv, "--name", "birds", "--set", "selection.rule=smallest-code")
    status, output, errors = run("run", toml, "--results-dir", search_copy.parent, *arguments)
    assert status == 0
    assert len(errors.splitlines()) <= 1, "the other rule may have another winner, which is retrained"
    assert "Winner by the rule 'smallest-code'" in output
    assert "smallest-code" in toml.read_text()
