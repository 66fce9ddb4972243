"""The command line: parses arguments, calls one function, prints what it returns."""

import atexit
import gc
import os
import re
import shlex
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ae_model.errors import UserError
from search.cli_errors import told

# Everything else is imported inside the commands: torch, pandas and Ray take seconds, which --help must not.
if TYPE_CHECKING:
    from search.settings import SearchSettings

# Typer names no base class of its usage errors, and where it lies depends on the version.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

INTERRUPTED = 130

SettingsFile = Annotated[
    Path | None, typer.Argument(metavar="SETTINGS.toml", help="Defaults are used for what it leaves out.")
]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A search's directory, such as results/digits.")]
Directories = Annotated[list[Path], typer.Argument(metavar="DIR", help="The directories of one or several searches.")]
ModelDirectory = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A model's directory: results/digits/best.")]
InputFile = Annotated[
    str, typer.Argument(metavar="INPUT", help=".npy, .npz, .csv, .parquet or a folder of images; - reads CSV.")
]
OutputFile = Annotated[
    str, typer.Argument(metavar="OUTPUT", help=".npy, .csv or .parquet, replaced if it exists; - writes CSV.")
]
SampleOutput = Annotated[
    str, typer.Argument(metavar="OUTPUT", help="As of encode; of images also FOLDER/, for PNG files.")
]
Source = Annotated[
    str | None,
    typer.Option("--data", metavar="SOURCE", help="digits, mnist, fashion-mnist, kmnist, cifar10, a file or a folder."),
]
DataDir = Annotated[str | None, typer.Option(metavar="DIR", help="Where torchvision's data sets lie.")]
RuleOption = Annotated[
    str | None,
    typer.Option(
        "--rule",
        metavar="RULE",
        help="best, one-se, smallest-code, target-fve or best-probe.  [default: the last select's, else the settings']",
    ),
]
TargetOption = Annotated[
    float | None,
    typer.Option(
        "--target-fve",
        metavar="FRACTION",
        help="The smallest code that explains so much of the variance: the rule target-fve.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. search.n_splits=10; may be repeated."),
]

Preset = Annotated[
    str | None, typer.Option(metavar="NAME", help="Settings to start from: reference.  [default: the defaults]")
]


@app.callback()
def _callback(
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; also after COMMAND.")
    ] = False,
) -> None:
    """Find the best symmetric autoencoder for a data set, and get it trained and evaluated."""


@app.command()
def run(
    settings_file: SettingsFile = None,
    data: Source = None,
    data_dir: DataDir = None,
    name: Annotated[str | None, typer.Option(help="Folder of the results.  [default: the data source's name]")] = None,
    results_dir: Annotated[Path, typer.Option(help="Where searches lie.")] = Path("results"),
    address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster, or auto.  [default: a local Ray]")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; what is there is moved aside.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="About how long it may take, e.g. 90s, 10min or 2h: the best answer within that."
        ),
    ] = None,
    preset: Preset = None,
    set_: Overrides = None,
) -> None:
    """Search, select, retrain and evaluate; run it again to continue."""
    settings = _settings(settings_file, data, data_dir, preset, set_, None if budget is None else _seconds(budget))
    from search import console, run_search
    from search.directory import check_name
    from search.presets import budget_text

    if name is not None:
        check_name(name)
    if budget is not None:
        print(budget_text(settings), file=sys.stderr)
    result = run_search(settings, name=name, results_dir=results_dir, address=address, fresh=fresh, verbose=True)
    console.print_result(result, ["ae-search", *sys.argv[1:]])


@app.command()
def bottleneck(
    settings_file: SettingsFile = None,
    data: Source = None,
    data_dir: DataDir = None,
    explained_variance: Annotated[
        list[float] | None,
        typer.Option(
            metavar="FRACTION", help="In (0, 1]; may be repeated.  [default: the settings', 0.95 where they have none]"
        ),
    ] = None,
    preset: Preset = None,
    set_: Overrides = None,
) -> None:
    """Print the numbers of principal components that explain so much of the variance."""
    settings = _settings(settings_file, data, data_dir, preset, set_)
    from search.code_sizes import propose_code_sizes
    from search.commands import command_with
    from search.plan import load_data
    from search.scaling import resolved_scaling, squeezed_columns
    from search.settings_files import parse_settings

    if explained_variance:
        wanted = parse_settings({"bottleneck": {"explained_variance": explained_variance}}).bottleneck
        settings = settings.model_copy(update={"bottleneck": wanted})
    wanted = settings.bottleneck
    dataset = load_data(settings)
    for note in (*dataset.notes, *squeezed_columns(dataset, resolved_scaling(settings, dataset))):
        print(note, file=sys.stderr)
    proposal = propose_code_sizes(dataset, settings)
    n_samples, n_features = dataset.development.shape
    sizes = (
        [("", size) for size in proposal.code_sizes]
        if wanted.code_sizes
        else [(f"{fraction:g}: ", proposal.code_size_for(fraction)) for fraction in wanted.explained_variance]
    )
    for target, size in sizes:
        print(
            f"{target}{size} component{' explains' if size == 1 else 's explain'} {proposal.reached(size):.2%} "
            f"of the variance of {dataset.name} ({n_samples} samples, {n_features} features)"
        )
    if not explained_variance and not wanted.code_sizes and wanted.explained_variance[0] < 1:
        arguments = [argument for argument in sys.argv[1:] if argument not in ("--debug", "bottleneck")]
        smallest = {"search.algorithm": "smallest-code", "search.target_fve": wanted.explained_variance[0]}
        print("How small a code an autoencoder needs for it is found by", file=sys.stderr)
        print(f"  {command_with(['ae-search', 'run', *arguments], smallest)}", file=sys.stderr)


@app.command()
def status(
    directory: Directory,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds until it ends.")] = False,
) -> None:
    """Print how far a search is."""
    from search import console

    if not watch:
        print(console.status_text(directory))
        return
    from search.watching import watch as watch_

    try:
        watch_(directory)
    except KeyboardInterrupt:
        _fail("no longer watching; the search is not touched by that", INTERRUPTED)


@app.command()
def trials(
    directories: Directories,
    sort: Annotated[str, typer.Option(metavar="COLUMN", help="A column of trials.csv, lowest first.")] = "rank",
    top: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N.")] = None,
    format_: Annotated[str, typer.Option("--format", metavar="table|csv|json")] = "table",
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="Only such trials, e.g. \"code_size <= 64 and init == 'pca'\"."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="These columns of trials.csv.  [default: the usual]")
    ] = None,
) -> None:
    """Print the trials of a search, or of several."""
    from search import console

    console.print_trials(
        directories[0] if len(directories) == 1 else directories,
        sort=sort,
        top=top,
        format_=format_,
        where=where,
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
    )


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR", help="The directories of two or more searches.")],
) -> None:
    """Compare searches: settings, best trials, and whether one is better."""
    from search import compare_searches, console

    console.print_comparison(compare_searches(directories))


@app.command()
def report(
    directory: Directory,
    umap: Annotated[bool, typer.Option("--umap", help="Draw the codes by UMAP, too; it takes seconds.")] = False,
) -> None:
    """Write report.html: all of a search on one page, also while it runs."""
    from search.report import write_report

    print(write_report(directory, umap=umap))


@app.command()
def select(directory: Directory, rule: RuleOption = None, target_fve: TargetOption = None) -> None:
    """Choose the winner of a search and write selection.json."""
    from search import console, load_trials
    from search import select as select_
    from search.trained import trained_trial

    selection = select_(directory, rule, target_fve)  # type: ignore[arg-type]  # it refuses other rules
    trials_ = load_trials(directory)
    print(console.selection_text(selection, trials_))
    console.print_usefulness(directory, trials_, selection.trial_id)
    if trained_trial(directory / "best") == (selection.trial_id, selection.best_epoch):
        print(f"Already trained: {directory / 'best'}")
    else:
        print(f"Train it: ae-search retrain {shlex.quote(str(directory))}")


@app.command()
def retrain(
    directory: Directory,
    rule: RuleOption = None,
    target_fve: TargetOption = None,
    trial: Annotated[str | None, typer.Option(metavar="ID", help="Train this trial instead of the winner.")] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Train for N epochs.  [default: as many as were best]")
    ] = None,
    warm_start: Annotated[
        Path | None,
        typer.Option(metavar="MODEL_DIR", help="Start with the weights of this model, of the same architecture."),
    ] = None,
    ensemble: Annotated[
        str | None, typer.Option(metavar="folds", help="Train the models of all folds, to be used as one.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda or cuda:N.  [default: cuda where there is one]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Where the samples are now.  [default: where they were searched]"),
    ] = None,
) -> None:
    """Train the winner, or a named trial, on all development data; run it again to continue."""
    for option, value in (("--rule", rule), ("--target-fve", target_fve)):
        if value is not None and trial is not None:
            raise UserError(f"{option} and --trial exclude each other. Give one of them.")
    from search.finish import retrain_and_draw

    model_dir = retrain_and_draw(
        directory,
        data=data,
        rule=rule,  # type: ignore[arg-type]  # it refuses other rules
        target_fve=target_fve,
        trial=trial,
        epochs=epochs,
        warm_start=warm_start,
        ensemble=ensemble,
        device=device,
        verbose=True,
    )
    print(f"Model: {model_dir}")


@app.command()
def evaluate(model_dir: ModelDirectory, data: Source = None, data_dir: DataDir = None) -> None:
    """Evaluate a model on its own test split, or on all of other data."""
    from search import console, evaluate_model

    print(console.evaluation_text(evaluate_model(model_dir, data, data_dir=data_dir)))


@app.command()
def encode(model_dir: ModelDirectory, source: InputFile, output: OutputFile) -> None:
    """Write the codes of samples."""
    _convert("encode", model_dir, source, output)


@app.command()
def decode(model_dir: ModelDirectory, source: InputFile, output: SampleOutput) -> None:
    """Write the samples that codes stand for."""
    _convert("decode", model_dir, source, output)


@app.command()
def reconstruct(model_dir: ModelDirectory, source: InputFile, output: SampleOutput) -> None:
    """Write the reconstructions of samples."""
    _convert("reconstruct", model_dir, source, output)


@app.command()
def score(
    model_dir: ModelDirectory,
    source: InputFile,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help=".csv or .parquet, replaced if it exists; - writes CSV.")
    ],
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Part of usual rows that may give an alarm, in (0, 1).  [default: 0.01]"),
    ] = None,
) -> None:
    """Write how unusual samples are: errors, p-values, alarms, and the features they come from."""
    from search import score as score_
    from search.score_text import score_text

    found = score_(model_dir, source, output, false_alarm_rate=false_alarm_rate, verbose=True)
    print(score_text(found, output), file=sys.stderr if output == "-" else None)


@app.command()
def export(
    model_dir: ModelDirectory,
    output_dir: Annotated[
        Path | None, typer.Argument(metavar="OUTPUT_DIR", help="Where they are written.  [default: MODEL_DIR]")
    ] = None,
    format_: Annotated[str, typer.Option("--format", metavar="onnx|pt2")] = "onnx",
) -> None:
    """Write encoder, decoder and autoencoder as files that other programs load."""
    from search import export_model

    for path in export_model(model_dir, output_dir, format_):  # type: ignore[arg-type]  # it refuses other formats
        print(path)


def script() -> None:
    """What the installed command calls: `main`, and then the end of the process, with what was registered for it.

    Python would also take torch, pandas and Ray apart, object by object, for one or two seconds.
    """
    try:
        main()
    except SystemExit as end:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # it was closed from the start, or is by now
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


def main() -> None:
    """Run the command line; every error ends in one line and an exit status."""
    # Whoever asks the process to end gets the same as one who presses Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # torch, pandas and Ray make a million objects that stay: to look through them again and again takes a second.
    gc.set_threshold(100_000)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments  # taken out here, so that it may stand after the command too
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status_ = app(arguments or ["--help"], standalone_mode=False)
        if sys.stdout is not None:  # it was closed
            sys.stdout.flush()
    except _UsageError as error:
        message = error.format_message()
        _fail(f"{message}{'' if message.endswith(('.', '?')) else '.'} See ae-search --help.", 2)
    except BrokenPipeError:  # whoever read the output has seen enough
        status_ = 1
    except KeyboardInterrupt:
        status_ = INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        _fail(*told(error, debug=debug))
    if status_ == INTERRUPTED:  # Typer turns an interrupt within a command into this
        _fail("interrupted; nothing that was reported is lost, and the same command continues", INTERRUPTED)
    sys.exit(status_ or 0)


def _fail(message: str, exit_status: int) -> None:
    print(f"ae-search: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(exit_status)


def _settings(
    path: Path | None,
    data: str | None,
    data_dir: str | None,
    preset: str | None,
    overrides: list[str] | None,
    budget_s: float | None = None,
) -> "SearchSettings":
    from search.settings_files import load_settings

    given = {"data.source": data, "data.data_dir": data_dir}
    return load_settings(path, [*_texts(given), *(overrides or [])], preset=preset, budget_s=budget_s)


def _seconds(text: str) -> float:
    """A duration in seconds: a number with s, min or h, or several of these, like 1h30min."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(s|min|h)", text)
    seconds = sum(float(number) * {"s": 1, "min": 60, "h": 3600}[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.replace(" ", "") or not seconds > 0:
        raise UserError(
            f"--budget must be a time like 90s, 10min or 1h30min, but is {text!r}. Give a number and s, min or h."
        )
    return seconds


def _texts(given: dict[str, str | None]) -> list[str]:
    import json

    # A JSON text is a TOML text.
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def _convert(operation: str, model_dir: Path, source: str, output: str) -> None:
    from search.conversion import convert

    shape = convert(operation, model_dir, source, output, verbose=True)  # type: ignore[arg-type]  # one of the three above
    if output != "-":  # where the rows are
        print(f"{output}: {shape[0]} rows, {shape[1]} columns")
