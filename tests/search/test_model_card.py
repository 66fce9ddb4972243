"""search.model_card: what the README.md in a model directory says, and what its script computes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, load_model, save_model
from ae_model.configuration import ACTIVATION_NAMES
from search import Evaluation, SearchResult, evaluate_model, retrain
from search.cross_validated import CrossValidated
from search.model_card import MARK, model_card, write_card
from search.trials_table import mse_text

ROOT = Path(__file__).parents[2]
PAIRS = [*zip(ACTIVATION_NAMES[::2], ACTIVATION_NAMES[1::2], strict=True)]


def _save(
    directory: Path,
    layer_sizes: tuple[int, ...] = (4, 6, 2),
    activations: tuple[str, str, str] = ("relu", "linear", "linear"),
    dtype: torch.dtype = torch.float32,
    names: tuple[str, ...] | None = None,
    **metadata: object,
) -> Path:
    """An untrained model of features in very different units."""
    hidden, code, output = activations
    model = SymmetricAutoencoder(
        layer_sizes,
        hidden_activation=hidden,
        code_activation=code,
        output_activation=output,
        generator=torch.Generator().manual_seed(2),
    ).to(dtype)
    generator = np.random.default_rng(3)
    scaling = Scaling(scale=10 ** generator.uniform(-3, 2, layer_sizes[0]), shift=generator.normal(size=layer_sizes[0]))
    save_model(
        directory, TrainedAutoencoder(model=model.eval(), scaling=scaling, feature_names=names, metadata=metadata)
    )
    return directory


def _plain_script(text: str) -> str:
    """The block of Python that does without this program."""
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "safetensors" in code)
    return str(block)


def _table(text: str) -> dict[str, list[str]]:
    """The rows of the card's tables, by what stands first."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize(
    ("layer_sizes", "activations", "dtype"),
    [((4, 2), ("relu", "linear", "tanh"), torch.float32), ((4, 7, 5, 3), ("gelu", "relu", "linear"), torch.float64)]
    + [((4, 9, 3), (hidden, code, "linear"), torch.float32) for hidden, code in PAIRS],
)
def test_the_script_does_without_this_program(
    tmp_path: Path, layer_sizes: tuple[int, ...], activations: tuple[str, str, str], dtype: torch.dtype
) -> None:
    """Taken from the card and run where neither this program nor Ray can be imported, it gives what the model gives."""
    _save(tmp_path, layer_sizes, activations, dtype)
    write_card(tmp_path)
    script = _plain_script((tmp_path / "README.md").read_text(encoding="utf-8"))
    trained = load_model(tmp_path)
    x = trained.scaling.inverse(np.random.default_rng(0).normal(size=(50, 4))).astype(np.float32)
    np.save(tmp_path / "samples.npy", x)
    blocked = "import sys; sys.modules.update(dict.fromkeys(['ae_model', 'search', 'ray']))\n"
    saved = "np.save('code.npy', code.numpy()); np.save('reconstruction.npy', reconstruction.numpy())\n"
    (tmp_path / "plain.py").write_text(blocked + script + saved)
    command = [sys.executable, "-W", "error", "plain.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_allclose(np.load(tmp_path / "code.npy"), trained.encode(x), rtol=0, atol=1e-5)
    error = (np.load(tmp_path / "reconstruction.npy") - trained.reconstruct(x)) * trained.scaling.scale / 2
    assert np.abs(error).max() < 1e-5


def test_the_readme_has_the_same_script(tmp_path: Path) -> None:
    """The one at the top of the repository is the card's."""
    card = model_card(_save(tmp_path))
    assert _plain_script((ROOT / "README.md").read_text(encoding="utf-8")) == _plain_script(card)


def test_the_card_of_a_winner(searched: SearchResult) -> None:
    """It has the figures of the search and of the test set, and no folder of this machine."""
    card = (searched.model_dir / "README.md").read_text(encoding="utf-8")
    rows, best, evaluation = _table(card), searched.trials.sort_values("rank").iloc[0], searched.evaluation
    assert rows["cross-validation in 3 folds"] == [
        f"{mse_text(best['val_mse_mean'])} ± {mse_text(best['val_mse_se'])}",
        f"{best['val_fve_mean']:.3f}",
    ]
    assert rows["PCA with as many components, in the same folds"][0] == mse_text(best["pca_val_mse_mean"])
    assert rows["test set of 18 samples"] == [
        f"{mse_text(evaluation.mse)} ± {mse_text(evaluation.mse_se)}",
        f"{evaluation.fve:.3f}",
    ]
    assert rows["PCA with as many components, on the same"] == [
        mse_text(evaluation.pca_mse or 0),
        f"{evaluation.pca_fve:.3f}",
    ]
    assert f"PSNR on the test set: {evaluation.psnr_db:.1f} dB" in card
    assert f"{evaluation.dead_code_units} of 2 code units dead" in card
    assert rows["source"] == ["birds.csv"]
    assert rows["samples trained on"] == ["72"]
    assert rows["features"] == ["6, in this order: a, b, c, d, e, f"]
    assert "tanh keeps reconstructions between -1 and 1" in card
    written = json.loads((searched.model_dir / "model.json").read_text(encoding="utf-8"))["metadata"]["data"]["source"]
    for folder in (str(Path(written).parent), str(searched.directory), str(Path.home())):
        assert folder not in card
    front, _, rest = card.removeprefix("---\n").partition("---\n")
    assert front.splitlines()[:2] == ["library_name: ae-search", "tags:"]
    assert "- dimensionality-reduction" in front
    assert rest


def test_the_same_directory_gives_the_same_card(searched: SearchResult, tmp_path: Path) -> None:
    """Also where it was taken elsewhere: all that it says lies beside it."""
    elsewhere = shutil.copytree(searched.model_dir, tmp_path / "elsewhere")
    card = (elsewhere / "README.md").read_bytes()
    (elsewhere / "README.md").unlink()
    write_card(elsewhere)
    assert (elsewhere / "README.md").read_bytes() == card


def test_the_card_follows_the_model(search_copy: Path) -> None:
    """Another trial's model has its own figures, and those of a test only once it is evaluated; nothing is lost."""
    trials = Path(search_copy / "trials.csv").read_text(encoding="utf-8").splitlines()
    for trial in (line.split(",")[0] for line in trials[1:]):
        model_dir = retrain(search_copy, trial=trial)
        card = (model_dir / "README.md").read_text(encoding="utf-8")
        record = CrossValidated.read(model_dir)
        assert record is not None
        assert record.trial_id == trial
        assert _table(card)["cross-validation in 3 folds"][0].startswith(mse_text(record.val_mse_mean))
        assert "test set of" not in card
    evaluate_model(model_dir)
    card = (model_dir / "README.md").read_text(encoding="utf-8")
    assert mse_text(Evaluation.read(model_dir).mse) in _table(card)["test set of 18 samples"][0]
    retrain(search_copy, trial=trial)
    assert (model_dir / "README.md").read_text(encoding="utf-8") == card


def test_a_card_that_somebody_made_their_own(search_copy: Path) -> None:
    """Without the line that says who wrote it, it stays as it is."""
    path = search_copy / "best" / "README.md"
    own = path.read_text(encoding="utf-8").replace(MARK, "") + "\nLicence: CC0\n"
    path.write_text(own, encoding="utf-8")
    evaluate_model(search_copy / "best")
    retrain(search_copy)
    assert path.read_text(encoding="utf-8") == own
    path.write_text(f"{MARK} and what follows", encoding="utf-8")
    evaluate_model(search_copy / "best")
    assert "## Figures" in path.read_text(encoding="utf-8")


def test_names_from_the_data_are_no_markup(tmp_path: Path) -> None:
    """Names of features and files that are Markdown, HTML, a table's edge, or several lines are shown as they are."""
    names = ("<script>x</script>", "a | b", "[click](http://x.example)", "two\nlines\u202e `*_")
    source = "/home/somebody/secret/<b>|pipe`.csv"
    _save(tmp_path, (4, 2), names=names, data={"source": source}, trial_id="a", epochs=0)
    card = model_card(tmp_path)
    (line,) = (line for line in card.splitlines() if line.startswith("| features"))
    assert r"\<script\>x\</script\>, a \| b, \[click\]\(http\://x.example\), two lines \`\*\_ |" in line
    assert r"| source | \<b\>\|pipe\`.csv |" in card
    assert "secret" not in card
    assert not re.search(r"(?<!\\)<(?!!--)", card.split("## How to load it")[0])
    assert "none: it is PCA" in card


def test_many_names_and_none(tmp_path: Path) -> None:
    """Many features are not listed; a model that says nothing of itself has a card all the same."""
    names = tuple(f"wavelength {n}" for n in range(40))
    assert "wavelength" not in model_card(_save(tmp_path / "many", (40, 2), names=names))
    card = model_card(_save(tmp_path / "bare", (4, 2)))
    assert "There are none yet." in card
    assert _table(card)["features"] == ["4"]
    (tmp_path / "bare" / "cross_validation.json").write_text('{"trial_id": 5}')
    (tmp_path / "bare" / "evaluation.json").write_text("[]")
    assert model_card(tmp_path / "bare") == card
