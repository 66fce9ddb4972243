"""search.report: a search on one page, in words, figures and a table; in a real browser where there is one."""

import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from ae_model import Configuration, EpochRecord, dataset_from_arrays
from search import SearchResult, SearchSettings, load_trials, parse_settings, run_search
from search.ledger import DIVERGED, FAILED, FINISHED, RUNNING, Ledger
from search.monitor import Monitor
from search.plan import load_data
from search.report import write_report
from search.report.answer import answer
from search.report.facts import read_facts
from search.report.hourglass import hourglass
from search.report.model import effective_rank
from search.report.page import render
from search.report.planes import pca_plane
from search.report.sizes import size_figures
from search.report.trials import trial_figures
from search.settings_files import to_toml
from search.test_codes import MAX_ROWS, TestCodes, some_test_codes

HOSTILE = "<script>alert(1)</script>'\"&amp;`${x}\u2028</td>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _content(page: str) -> dict[str, Any]:
    """What the page's script reads: the table and the figures."""
    blocks = re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in blocks}


def _made_search(directory: Path, n_trials: int, n_epochs: int, *, n_stopped: int = 0, error: str = "") -> Path:
    """A search of which only the ledger and the settings are there; the last trials diverged, failed, are running."""
    directory.mkdir()
    chance = np.random.default_rng(0)
    settings = parse_settings({"data": {"source": "digits"}, "search": {"pruning": "halving", "max_epochs": n_epochs}})
    (directory / "settings.toml").write_text(to_toml(settings))
    trials = {
        f"t{n:04}": Configuration(
            layer_sizes=(64, int(chance.integers(16, 512)), 4 + n % 5),
            code_activation="linear",
            learning_rate=float(10 ** chance.uniform(-4, -2)),
            init=("pca", "random")[n % 2],
        )
        for n in range(n_trials)
    }
    with Ledger(directory) as ledger:
        ledger.put("settings", settings.model_dump(mode="json"))
        ledger.enter_trials(trials)
        ledger.put_baseline(range(4, 9), chance.uniform(0.4, 0.5, (5, 5)))
        for n, trial_id in enumerate(trials):
            last = 3 if n < n_stopped else n_epochs
            curve = chance.uniform(0.2, 0.4) + chance.uniform(0.1, 1) / np.arange(1, last + 1)
            status = {n_trials - 1: DIVERGED, n_trials - 2: FAILED, n_trials - 3: RUNNING}.get(n, FINISHED)
            records = [
                EpochRecord(
                    epoch=epoch,
                    train_mse=np.full(5, mse),
                    val_mse=mse + chance.normal(0, 0.01, 5),
                    val_fve=1 - mse + np.zeros(5),
                    dead_code_units=np.zeros(5, np.int64),
                )
                for epoch, mse in enumerate(curve, 1)
            ]
            ledger.start(trial_id)
            if status == FAILED:
                ledger.fail(trial_id, error)
            else:
                ledger.record(trial_id, records, host="node", fit_seconds=float(n), status=status)
        ledger.note_stopped({t: (1, 0.5 + 0.001 * n) for n, t in enumerate(list(trials)[:n_stopped])})
    return directory


def test_the_page_of_a_finished_search(searched: SearchResult) -> None:
    """It says who won, how sure that is, what the test set says and what to type next, and needs nothing but itself."""
    page = (searched.directory / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.partition("</main>")[0]))
    s, e = searched.selection, searched.evaluation
    for part in (
        f"A code of 2 units explains {s.val_fve_mean:.1%}".replace("%", " %"),
        s.label,
        f"{s.val_mse_mean:.5f} ± {s.val_mse_se:.5f}",
        f"{e.mse:.5f} ± {e.mse_se:.5f}",
        f"{s.pca_val_mse_mean:.5f}",
        f"ae-search encode {searched.model_dir} INPUT.csv CODES.csv",
        "4 trials: 4 finished",
        "torch",
        "n_splits = 3",
    ):
        assert part in text, part
    before_scripts = page.partition('<script type="application/json"')[0]
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", before_scripts)
    assert "@import" not in before_scripts
    assert "url(" not in before_scripts


def test_every_figure_is_one_of_plotlys(searched: SearchResult, tmp_path: Path) -> None:
    """Plotly's own checks find no name or value that it does not know, whatever kind of search it is."""
    from plotly import graph_objects

    made = _made_search(tmp_path / "made", 30, 9, n_stopped=12)
    for directory in (searched.directory, made):
        page = render(read_facts(directory))
        assert len(_content(page)["figure-data"]) >= 5
        for figure in _content(page.replace('"@foreground"', '"black"'))["figure-data"].values():
            graph_objects.Figure(figure)


def test_the_table_has_what_trials_csv_has(searched: SearchResult) -> None:
    """In the order of the ranks, number for number, without columns that say nothing."""
    content = _content((searched.directory / "report.html").read_text(encoding="utf-8"))["table-data"]
    table = pd.DataFrame(content["rows"], columns=[column["name"] for column in content["columns"]])
    trials = load_trials(searched.directory).sort_values(["rank", "number"])
    assert table["trial_id"].tolist() == trials["trial_id"].tolist()
    np.testing.assert_allclose(table["val_mse_mean"], trials["val_mse_mean"], rtol=1e-5)
    assert content["winner"] == searched.selection.trial_id
    assert {"code_activation", "status", "layer_sizes"} <= set(table)
    assert not {"rung", "error", "learning_rate", "weight_decay"} & set(table)


def test_a_report_of_a_search_that_runs(tmp_path: Path) -> None:
    """It says how it stands, and names the best so far; nothing of it is written but the report."""
    directory = _made_search(tmp_path / "search", 12, 6)
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    path = write_report(directory, at_work=True)
    page = path.read_text(encoding="utf-8")
    assert "The search is running: 11 of 12 trials are done, 1 are running. This is how it stands." in page
    assert "Best so far: a code of" in page
    after = {p.name: p.stat().st_mtime_ns for p in directory.iterdir() if p.name in before}
    assert {name: time for name, time in after.items() if not name.endswith(("-shm", "-wal"))} == {
        name: time for name, time in before.items() if not name.endswith(("-shm", "-wal"))
    }
    interrupted = write_report(directory).read_text(encoding="utf-8")
    assert "none is running: 11 of 12 trials are done. Run its command again to continue." in interrupted


def test_a_report_before_the_first_epoch(tmp_path: Path) -> None:
    """There is nothing to tell, and it says so."""
    directory = tmp_path / "empty"
    directory.mkdir()
    settings = parse_settings({})
    (directory / "settings.toml").write_text(to_toml(settings))
    with Ledger(directory) as ledger:
        ledger.put("settings", settings.model_dump(mode="json"))
        ledger.enter_trials({"a": Configuration(layer_sizes=(4, 2), code_activation="linear")})
    assert "Nothing to tell yet" in write_report(directory).read_text(encoding="utf-8")


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    """Trials that diverged or failed have a table of their own, with the reason; reasons are text, not markup."""
    directory = _made_search(tmp_path / "search", 8, 4, error=HOSTILE)
    page = write_report(directory).read_text(encoding="utf-8")
    assert "What went wrong" in page
    assert html.escape(HOSTILE, quote=False)[:20] in page
    assert "<script>alert(1)" not in page
    assert "try a lower learning rate" in page


def test_the_numbers_of_a_halving(tmp_path: Path) -> None:
    """Who was stopped has a curve as far as it went, and its forecast at the last epoch."""
    facts = read_facts(_made_search(tmp_path / "search", 20, 9, n_stopped=8))
    figure = _content(render(facts))["figure-data"]["halving"]
    names = {trace["name"]: trace for trace in figure["data"]}
    stopped = names["stopped at rung 1, epoch 3 (8)"]
    assert stopped["x"].count(None) == 8
    assert max(x for x in stopped["x"] if x is not None) == 3
    forecasts = names["forecast of what was stopped"]
    assert set(forecasts["x"]) == {9}
    np.testing.assert_allclose(sorted(forecasts["y"]), 0.5 + 0.001 * np.arange(8))


def test_the_pareto_front(tmp_path: Path) -> None:
    """No trial has both a smaller code and less error than one on the front; every other has one that has."""
    facts = read_facts(_made_search(tmp_path / "search", 40, 3))
    figure = next(f for f in size_figures(facts) if f.name == "against-code-size")
    front = next(trace for trace in figure.data if trace["name"] == "Pareto front")
    finished = facts.trials[facts.trials["status"] == FINISHED]
    points = set(zip(front["x"], front["y"], strict=True))
    for size, mse in zip(finished["code_size"], finished["val_mse_mean"], strict=True):
        beaten = ((finished["code_size"] <= size) & (finished["val_mse_mean"] < mse)).any() or (
            (finished["code_size"] < size) & (finished["val_mse_mean"] <= mse)
        ).any()
        assert beaten != ((float(size), float(f"{mse:.6g}")) in points)


def test_the_codes_in_the_plane_are_their_principal_components() -> None:
    """As scikit-learn computes them, up to the sign; labels have a trace each, other things a scale."""
    chance = np.random.default_rng(0)
    code = chance.normal(size=(60, 5)) * [5, 3, 1, 1, 1]
    labels = chance.integers(0, 3, 60)
    codes = TestCodes(code=code, mse=chance.random(60), labels=labels, features={"<b>": code[:, 0]})
    figure = pca_plane(codes)
    by_class = figure.data[:3]
    expected = PCA(2).fit_transform(code)
    for kind, trace in enumerate(by_class):
        np.testing.assert_allclose(np.abs(trace["x"]), np.abs(expected[labels == kind, 0]), rtol=1e-4)
        np.testing.assert_allclose(np.abs(trace["y"]), np.abs(expected[labels == kind, 1]), rtol=1e-4)
    assert [b["label"] for b in figure.layout["updatemenus"][0]["buttons"]] == ["label", "error", "&lt;b&gt;"]
    assert [t["visible"] for t in figure.data] == [True, True, True, False, False]


def test_what_samples_can_be_coloured_by() -> None:
    """Each feature has its own colouring, whatever it is called; numbers that are no numbers do not matter."""
    chance = np.random.default_rng(0)
    long = "absorbance at a wavelength in nm: "
    names = ["error", "label", f"{long}400", f"{long}410", "all missing"]
    features = {name: chance.random(20) for name in names}
    features["all missing"][:] = np.nan
    labels = chance.random(20)
    labels[3] = np.nan
    codes = TestCodes(code=chance.normal(size=(20, 2)), mse=chance.random(20), labels=labels, features=features)
    figure = pca_plane(codes)
    menu = [b["label"] for b in figure.layout["updatemenus"][0]["buttons"]]
    cut = f"{long}400"[:29] + "…"
    assert menu == ["error", "label", "feature error", "feature label", cut, cut]
    assert [t["marker"]["color"] for t in figure.data[2:]] == [
        pytest.approx(features[name], rel=1e-4) for name in names[:4]
    ]
    json.dumps([figure.data, figure.layout], allow_nan=False)


def test_trials_with_the_same_beginning_are_told_apart(tmp_path: Path) -> None:
    """A row for each trial in the picture of differences, and a bar for each feature, however long the names are."""
    facts = read_facts(_made_search(tmp_path / "search", 9, 4))
    trials = facts.trials.assign(label="a label that is cut short " * 5)
    figures = {figure.name: figure for figure in trial_figures(replace(facts, trials=trials))}
    rows = [y for trace in figures["differences"].data for y in trace["y"]]
    finished = trials["status"] == FINISHED
    assert sorted(rows) == list(range(int(finished.sum()) - 1))
    assert all(text.startswith("a label") for trace in figures["differences"].data for text in trace["text"])


def test_no_choice_matters_where_all_are_equal(tmp_path: Path) -> None:
    """What rounding makes of equal errors is not explained."""
    pytest.importorskip("optuna", reason="no Optuna")
    facts = read_facts(_made_search(tmp_path / "search", 20, 4))
    assert "importance" in {figure.name for figure in trial_figures(facts)}
    equal = facts.trials.assign(val_mse_mean=0.3 * (1 + 1e-7 * np.arange(len(facts.trials))))
    assert "importance" not in {figure.name for figure in trial_figures(replace(facts, trials=equal))}


def test_what_is_to_be_done_with_a_winner_of_another_rule(searched: SearchResult, search_copy: Path) -> None:
    """`run` would choose by the settings' rule again: the report names the command that does not."""
    assert answer(read_facts(search_copy)).state == ""
    (search_copy / "best" / "evaluation.json").unlink()
    facts = read_facts(search_copy)
    told = answer(facts)
    assert told.state.endswith(f"is not trained and evaluated: ae-search evaluate {search_copy / 'best'}")
    assert not told.headline.startswith("Best so far"), "nothing is left to train"
    assert facts.selection is not None
    other = replace(facts.selection, rule="one-se", best_epoch=facts.selection.best_epoch + 1)
    told = answer(replace(facts, selection=other))
    assert told.state.endswith(f"is not trained and evaluated: ae-search retrain {search_copy}")
    told = answer(replace(facts, selection=replace(other, rule="best")))
    assert told.state.endswith("Run its command again.")


def test_a_report_that_fails_is_no_failed_search(
    search_copy: Path, monkeypatch: pytest.MonkeyPatch, settings: SearchSettings
) -> None:
    """All else is there: one line names the command that says what is wrong."""
    import search.report
    from search.finish import finish

    (search_copy / "report.html").unlink()
    monkeypatch.setattr(search.report, "write_report", lambda *_, **__: 1 / 0)
    said: list[str] = []
    progress = Monitor(enabled=False)
    monkeypatch.setattr(progress, "warn", said.append)
    result = finish(search_copy, load_data(settings), progress)
    assert result.evaluation.mse > 0
    assert said == [
        f"The report could not be made, all else is there; what is wrong says: ae-search report {search_copy} --debug"
    ]


def test_the_effective_rank() -> None:
    """Of k equally strong uncorrelated units it is k, of one direction 1, of none 0."""
    values = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 6)))[0]
    values -= values.mean(axis=0)
    assert effective_rank(np.linalg.qr(values)[0]) == pytest.approx(6, rel=1e-6)
    assert effective_rank(np.outer(values[:, 0], [1.0, 2.0, 0.0])) == pytest.approx(1)
    assert effective_rank(np.zeros((10, 3))) == 0
    assert effective_rank(values[:, :1]) == pytest.approx(1), "a code of one unit"
    assert effective_rank(values[:1]) == 0, "one sample"


def test_codes_of_test_samples_are_kept(searched: SearchResult) -> None:
    """Beside the model, with error, label and columns of each sample, in the model's own numbers."""
    from ae_model import load_model
    from search.settings_files import search_settings

    codes = TestCodes.read(searched.model_dir)
    dataset = load_data(search_settings(searched.directory))
    np.testing.assert_allclose(codes.code, load_model(searched.model_dir).encode(dataset.test), rtol=1e-4, atol=1e-5)
    assert codes.mse.mean() == pytest.approx(searched.evaluation.mse, rel=1e-5)
    assert codes.labels is not None
    assert codes.labels.tolist() == dataset.test_labels.tolist()
    assert list(codes.features) == list("abcdef")
    np.testing.assert_allclose(codes.features["d"], dataset.test[:, 3], rtol=1e-6)


def test_of_many_samples_some_are_kept() -> None:
    """Spread evenly, so that sorted data is not cut off."""
    n = 3 * MAX_ROWS
    codes = some_test_codes(np.arange(n)[:, None], np.zeros(n), np.arange(n), np.zeros((n, 1)), None)
    assert len(codes.code) == MAX_ROWS
    assert codes.code[0] == 0
    assert codes.code[-1] == n - 1
    assert np.ptp(np.diff(codes.code[:, 0])) <= 1
    assert codes.labels is not None
    assert codes.labels.tolist() == codes.code[:, 0].tolist()


def test_the_hourglass() -> None:
    """A bar for each layer with its width, mirrored; higher where the layer is wider."""
    drawing = str(hourglass([784, 50, 3]))
    assert re.findall(r">(\d+)</text>", drawing) == ["784", "50", "3", "50", "784"]
    heights = [float(height) for height in re.findall(r'width="26" height="([\d.]+)"', drawing)]
    assert heights == heights[::-1]
    assert heights[0] > heights[1] > heights[2] > 0


def test_the_command(search_copy: Path, run: Callable[..., tuple[int, str, str]], one_line: Callable[..., str]) -> None:
    """It prints where the report is; what is no search is one line."""
    (search_copy / "report.html").unlink()
    status, output, _ = run("report", search_copy)
    assert (status, output) == (0, f"{search_copy / 'report.html'}\n")
    assert (search_copy / "report.html").stat().st_size > 4_000_000
    status, _, errors = run("report", search_copy / "best")
    assert status == 2
    one_line(errors, "is not a search directory")


def test_umap_that_is_not_installed(
    search_copy: Path, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what to install."""
    monkeypatch.setattr("search.report.page.find_spec", lambda _: None)
    status, _, errors = run("report", search_copy, "--umap")
    assert status == 2
    assert "pip install 'ae-search[umap]'" in errors


@pytest.fixture(scope="module")
def hostile(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a search whose columns and labels have names that would break a page."""
    chance = np.random.default_rng(0)
    values = chance.normal(size=(60, 3)) @ chance.normal(size=(3, 5))
    names = [HOSTILE, "a\nb", "\x1b[31mred\x07", "<img src=x onerror=alert(2)>", "</script><b>"]
    labels = chance.choice([HOSTILE, "<i>x</i>"], 60)
    data = dataset_from_arrays(values, labels=labels, feature_names=names, name="<b>birds</b>")
    settings = parse_settings(
        {
            "bottleneck": {"code_sizes": [1, 2]},
            "space": {"hidden": ["", "4"], "init": ["pca", "random"]},
            "search": {"n_splits": 3, "max_epochs": 3},
        }
    )
    results = tmp_path_factory.mktemp("hostile")
    directory = run_search(settings, data=data, name="birds", results_dir=results).directory
    return write_report(directory.rename(results / "<u>it's"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def _opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page of the browser without a network, drawn to its end, and what it complained about."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 900}, **options})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.goto(path.as_uri())
    for place in page.locator(".plot").all():
        place.scroll_into_view_if_needed()
        place.locator(".main-svg").first.wait_for()
    return page, complaints


def test_nothing_in_the_data_is_taken_for_markup(browser: Any, hostile: Path) -> None:
    """Names of columns, labels and the search are shown letter by letter; no script of theirs runs."""
    page, complaints = _opened(browser, hostile)
    assert complaints == []
    assert page.locator("header .name").inner_text() == "<u>it's"
    assert page.locator("main img, main u, main i, main script").count() == 0
    axis = page.locator('[data-figure="errors"] .yaxislayer-above').text_content()
    assert "<script>alert(1)" in axis
    assert "<img src=x onerror" in axis
    legend = page.locator('[data-figure="codes-pca"] .legend').first.text_content()
    assert "<i>x</i>" in legend
    page.context.close()


def test_the_table_sorts_and_filters(browser: Any, tmp_path: Path) -> None:
    """By a click on a column, up and down; by words and by conditions; and shows all if asked."""
    path = write_report(_made_search(tmp_path / "search", 60, 3, n_stopped=20))
    page, complaints = _opened(browser, path)
    rows = page.locator("#table tbody tr")
    names = [name.inner_text().split(" ▲")[0] for name in page.locator("#table thead th").all()]

    def column(title: str) -> list[float]:
        texts = page.locator(f"#table tbody td:nth-child({names.index(title) + 1})").all_inner_texts()
        return [float(text) for text in texts if text]

    assert rows.count() == 20
    page.locator("#more").click()
    assert rows.count() == 60
    for expected in (False, True):
        page.get_by_role("button", name="parameters").click()
        assert column("parameters") == sorted(column("parameters"), reverse=expected)
    page.locator("#filter").fill("status=stopped code_size<=5")
    sizes = column("code size")
    assert page.locator("#shown").inner_text() == f"{len(sizes)} of {len(sizes)} that match, of 60"
    trials = load_trials(tmp_path / "search")
    assert len(sizes) == ((trials["status"] == "stopped") & (trials["code_size"] <= 5)).sum() > 0
    page.locator("#filter").fill("T0007")
    assert rows.count() == 1
    assert complaints == []
    page.context.close()


def test_plots_respond(browser: Any, hostile: Path) -> None:
    """A click in a legend hides a curve; the menu colours the codes by something else; a point tells what it is."""
    page, complaints = _opened(browser, hostile)
    figure = '[data-figure="learning-curves"]'
    page.locator(figure).scroll_into_view_if_needed()
    page.locator(f"{figure} .legendtoggle").first.click()
    page.wait_for_function(f"document.querySelector('{figure}').data.some((t) => t.visible === 'legendonly')")
    plane = '[data-figure="codes-pca"]'
    page.locator(f"{plane} .updatemenu-header").click()
    page.locator(f"{plane} .updatemenu-dropdown-button").nth(1).click()
    page.wait_for_function(f"document.querySelector('{plane}').data[0].visible === false")
    page.locator('[data-figure="against-code-size"] .point').last.hover(force=True)
    page.locator('[data-figure="against-code-size"] .hovertext').first.wait_for()
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        (1200, "light"),
        pytest.param(390, "light", marks=pytest.mark.slow),
        pytest.param(1200, "dark", marks=pytest.mark.slow),
    ],
)
def test_it_can_be_read_on_any_screen(browser: Any, searched: SearchResult, width: int, scheme: str) -> None:
    """Nothing is wider than the screen, and letters stand out from what is behind them, also in the other scheme."""
    path = searched.directory / "report.html"
    page, complaints = _opened(browser, path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = "(() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; })()"
    title = "document.querySelector('.plot .xtitle').style.fill"
    for now in (scheme, {"light": "dark", "dark": "light"}[scheme]):
        page.emulate_media(color_scheme=now)
        page.wait_for_timeout(100)
        letters, behind = (_brightness(colour) for colour in page.evaluate(colours))
        assert (letters > 0.8 and behind < 0.2) if now == "dark" else (letters < 0.2 and behind > 0.8)
        assert abs(_brightness(page.evaluate(title)) - letters) < 0.05
    assert complaints == []
    page.context.close()


def _brightness(colour: str) -> float:
    return float(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]])) / 255


def test_a_thousand_trials_fit(browser: Any, tmp_path: Path) -> None:
    """Below 8 MB, most of which is the library that draws; all of it is drawn, and the table has a row for each."""
    path = write_report(_made_search(tmp_path / "search", 1000, 12, n_stopped=800))
    assert path.stat().st_size < 8e6
    content = _content(path.read_text(encoding="utf-8"))
    assert len(content["table-data"]["rows"]) == 1000
    page, complaints = _opened(browser, path)
    assert complaints == []
    page.locator("#more").click()
    assert page.locator("#table tbody tr").count() == 1000
    page.context.close()
