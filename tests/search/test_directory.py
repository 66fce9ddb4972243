"""search.directory: which searches a folder continues, by the scaling of their data."""

from pathlib import Path

import numpy as np
import pytest

from ae_model import UserError, dataset_from_arrays
from search import parse_settings
from search.directory import enter_plan
from search.ledger import Ledger
from search.plan import Plan, make_plan

TABLE = dataset_from_arrays(np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32), name="table")
IMAGES = dataset_from_arrays(
    np.random.default_rng(0).integers(0, 256, (60, 6)).astype(np.uint8), image_shape=(2, 3), name="images"
)


def _plan(scaling: str | None = None, output: str = "linear", *, images: bool = False) -> Plan:
    data = {} if scaling is None else {"scaling": scaling}
    space = {"hidden": "", "output_activation": output}
    settings = parse_settings({"data": data, "space": space, "bottleneck": {"code_sizes": [2]}})
    return make_plan(settings, IMAGES if images else TABLE)


def _enter(directory: Path, plan: Plan, *, as_before: bool = False) -> None:
    """Begin a search in a folder, or the next run of one; `as_before` as a version did that knew the range alone."""
    with Ledger(directory) as ledger:
        enter_plan(plan, ledger, directory)
        if as_before:
            definition = dict(plan.definition)
            del definition["data.scaling"]
            ledger.put("definition", definition)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (_plan("range"), _plan("range")),
        (_plan("range", "tanh"), _plan(None, "tanh")),
        (_plan("range", images=True), _plan(images=True)),
    ],
    ids=["as given", "tanh", "images"],
)
def test_a_search_of_before_continues_by_the_range(first: Plan, then: Plan, tmp_path: Path) -> None:
    """With the scaling given, or settings and data that ask for no other; its trials are the same."""
    _enter(tmp_path, first, as_before=True)
    _enter(tmp_path, then)
    with Ledger(tmp_path) as ledger:
        assert list(ledger.standing()) == list(first.trials)
        assert ledger.get("definition")["data.scaling"] == "range"


@pytest.mark.parametrize("as_before", [True, False])
@pytest.mark.parametrize("scaling", [None, "standard", "robust", "none"])
def test_another_scaling_is_refused_by_name(scaling: str | None, as_before: bool, tmp_path: Path) -> None:
    """The message says what continues the search, also where nobody has set anything; nothing is written."""
    _enter(tmp_path, _plan("range"), as_before=as_before)
    settings = (tmp_path / "settings.toml").read_bytes()
    told = rf'data\.scaling \(range there, {scaling or "standard"} now; set data\.scaling = "range"\)'
    with pytest.raises(UserError, match=told):
        _enter(tmp_path, _plan(scaling))
    assert (tmp_path / "settings.toml").read_bytes() == settings


def test_the_range_is_refused_where_another_was_searched(tmp_path: Path) -> None:
    """The other way round; the scaling that was decided by the data is named like one that was given."""
    _enter(tmp_path, _plan())
    _enter(tmp_path, _plan("standard"))
    with pytest.raises(UserError, match=r'data\.scaling \(standard there, range now; set data\.scaling = "standard"\)'):
        _enter(tmp_path, _plan("range"))


def test_settings_are_written_as_given(tmp_path: Path) -> None:
    """What the data decided is no setting."""
    _enter(tmp_path, _plan())
    assert "scaling" not in (tmp_path / "settings.toml").read_text()
    _enter(tmp_path, _plan("standard"))
    assert 'scaling = "standard"' in (tmp_path / "settings.toml").read_text()
