"""search.trial_query: a condition picks the rows that meet it, and can do nothing else."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.table_types import typed
from search.trial_query import check_column, rows_where

TRIALS = typed(
    pd.DataFrame(
        {
            "trial_id": list("abcd"),
            "init": ["pca", "random", "pca", "random"],
            "code_size": [16, 32, 64, 128],
            "rung": [1, None, 2, None],
            "forecast": [0.5, np.nan, 0.25, np.nan],
            "error": [None, "no memory", None, "no disk"],
        }
    ),
    {
        "trial_id": "string",
        "init": ("random", "pca"),
        "code_size": "Int64",
        "rung": "Int64",
        "forecast": "float64",
        "error": "string",
    },
)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("code_size <= 64 and init == 'pca'", "ac"),
        ("code_size <= 64\n  and init == 'pca'", "ac"),
        ("(code_size < 64\n or code_size > 100)\n and init != 'pca'", "bd"),
        ("  16 < code_size < 128  ", "bc"),
        ("not init == 'pca'", "bd"),
        ("init in ['pca', 'fourier']", "ac"),
        ("init not in ('pca',)", "bd"),
        ("trial_id > 'b'", "cd"),
        ("code_size / 16 - 1 == +1", "b"),
        ("-code_size * 2 < -64 + 0.5", "bcd"),
        ("init == 'and == or'", ""),
        ("code_size == code_size", "abcd"),
        ("rung == 1", "a"),
        ("rung > 1 or forecast > 0.4", "ac"),
        ("rung.isna()", "bd"),
        ("error.notna() and code_size > 32", "d"),
        ("error in ['no disk']", "d"),
    ],
)
def test_rows_that_meet_a_condition(where: str, expected: str) -> None:
    """As one reads it, on one line or several."""
    rows = rows_where(TRIALS, where)
    assert "".join(rows["trial_id"]) == expected
    pd.testing.assert_frame_equal(rows, TRIALS[TRIALS["trial_id"].isin(list(expected))])


@pytest.mark.parametrize("column", ["rung", "forecast"])
def test_a_number_that_is_missing_meets_no_comparison(column: str) -> None:
    """Neither a comparison nor its opposite, whether NaN stands for it or NA."""
    for where in (f"{column} > 0", f"not {column} > 100", f"{column} != 100", f"not {column} == 100"):
        assert "".join(rows_where(TRIALS, where)["trial_id"]) == "ac", where


@pytest.mark.parametrize("where", ["not error == 'no disk'", "error != 'no disk'", "error not in ['no disk']"])
def test_a_text_that_is_missing_is_none_of_all_texts(where: str) -> None:
    """What has no error does not have this one either."""
    assert "".join(rows_where(TRIALS, where)["trial_id"]) == "abc"


COLUMNS = "The columns are trial_id, init, code_size, rung, forecast, error."


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("code_sise < 3", "where names 'code_sise', which is not a column. Did you mean code_size?"),
        ("init == pca", f"where names 'pca', which is not a column. A text stands in quotes. {COLUMNS}"),
        ("@x < 3", "but '@x < 3' cannot be read (an @ stands for a variable of a program)."),
        ("init == 'a' and @pd.x", "(an @ stands for a variable of a program)."),
        ("", "but '' cannot be read ("),
        ("init = 'pca'", "but \"init = 'pca'\" cannot be read (whether something is equal is asked by ==)."),
        ("size < 3", "where names 'size', which is not a column. Did you mean code_size?"),
        ("init is 'pca'", "cannot be part of it; whether something is equal is asked by ==."),
        ("code_size < 3; rung", "cannot be read ("),
        ("`code_size` < 3", "cannot be read ("),
        ("(" * 9999, "cannot be read ("),
        ("init.__class__ == 3", "but 'init.__class__' is a call or an attribute, other than isna() and notna()."),
        ("rung.isna", "'rung.isna' is a call or an attribute"),
        ("rung.isna(1)", "'rung.isna(1)' is a call or an attribute"),
        ("rung.isna().any()", "'rung.isna().any()' is a call or an attribute"),
        ("error.str.contains('memory')", "is a call or an attribute"),
        ("__import__('os').getpid() == 1", "is a call or an attribute"),
        ("code_size == open('x', 'w')", "\"open('x', 'w')\" is a call or an attribute"),
        ("code_size == __name__", "where names '__name__', which is not a column."),
        ("'{0.__class__}' == f'{init}'", "cannot be part of it."),
        ("code_size ** 9 ** 9 > 3", "but 'code_size ** 9 ** 9' cannot be part of it."),
        ("code_size[0] > 3", "'code_size[0]' cannot be part of it."),
        ("[c for c in init] == 3", "cannot be part of it."),
        ("(lambda: 1) == 1", "cannot be part of it."),
        ("(init := 'pca') == 'pca'", "cannot be part of it."),
        ("init != 'z' and rung", "\"init != 'z' and rung\" joins what is no condition."),
        ("not rung", "'not rung' joins what is no condition."),
        ("rung is None", "'rung is None' compares with None; whether something is missing is asked by isna()."),
        ("rung == None", "'rung == None' compares with None; whether something is missing is asked by isna()."),
        ("(init == 'pca') & (rung == 1)", "cannot be part of it; write and, or, not."),
        ("init == 'pca' & rung == 1", "\"'pca' & rung\" cannot be part of it; write and, or, not."),
        ("~(rung == 1)", "cannot be part of it; write and, or, not."),
        ("code_size == '64'", "but \"code_size == '64'\" compares a text with a number."),
        ("init < 3", "compares a text with a number."),
        ("init in ['pca', 3]", "compares a text with a number."),
        ("code_size", "but 'code_size' is a value, and no condition."),
        ("3 > 2", "is a value, and no condition."),
        ("1 / 0 > code_size", "cannot be evaluated (division by zero)."),
        ("code_size + init == 'a'", "cannot be evaluated ("),
    ],
)
def test_refused(where: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no condition on columns is refused in one line, before any of it could run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        rows_where(TRIALS, where)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 500, "a long condition is cut"
    assert not list(tmp_path.iterdir()), "it ran"


def test_the_name_of_a_column() -> None:
    """The closest ones are named; all, where none is close."""
    names = list(TRIALS.columns)
    check_column("rung", names, "sort")
    with pytest.raises(
        ValueError, match=r"^sort must be a column of trials\.csv, but is 'rang'\. Did you mean rung\?$"
    ):
        check_column("rang", names, "sort")
    with pytest.raises(ValueError, match=r"^columns must be .* but is ''\. They are trial_id, init, .*, error\.$"):
        check_column("", names, "columns")
