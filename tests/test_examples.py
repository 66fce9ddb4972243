"""What the documents show runs as it stands there."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ae_model

ROOT = Path(__file__).parents[1]


def readme_examples() -> list[str]:
    """The README's Python blocks that use this program; the one without it is the model card's."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in blocks if "from search import" in block]


def test_the_readme_examples_run(tmp_path: Path) -> None:
    """In a folder and a process of their own, one after the other, to the end."""
    script = tmp_path / "example.py"
    script.write_text("".join(readme_examples()))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "init" in done.stdout
    assert len(readme_examples()) == 2


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Each cell, to the end; the result, a table and a picture show themselves. It is kept without outputs."""
    nbclient = pytest.importorskip("nbclient", reason="no nbclient")
    nbformat = pytest.importorskip("nbformat", reason="no nbformat")
    notebook = nbformat.read(ROOT / "examples" / "first_search.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", {})]
    assert shown.count("text/html") >= 3, "the result and two tables"
    assert shown.count("image/png") >= 2, "two pictures"
    assert (tmp_path / "results" / "first" / "best" / "model.safetensors").is_file()


def test_the_readme_shows_all_settings_with_their_defaults() -> None:
    """Its settings file, read as it stands, is the default; every key is there, if only as a comment."""
    import tomllib

    from search import SearchSettings, parse_settings

    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert parse_settings(tomllib.loads(block)) == SearchSettings()
    keys = set(re.findall(r"^(?:# )?(\w+) = ", block, flags=re.MULTILINE))
    sections = SearchSettings.model_fields
    expected = {"seed"} | {
        key for name, field in sections.items() if name != "seed" for key in field.annotation.model_fields
    }
    assert keys == expected


def docstring_examples() -> Iterator[doctest.DocTest]:
    """The examples of every docstring, from the sources: doctest's own finder passes over wrapped functions."""
    parser = doctest.DocTestParser()
    for path in sorted(path for package in ("ae_model", "search") for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{module}.{getattr(node, 'name', '__doc__')}"
                found = parser.get_doctest(ast.get_docstring(node) or "", {}, name, str(path), 0)
                if found.examples:
                    yield found


@pytest.mark.parametrize("example", list(docstring_examples()), ids=lambda example: example.name)
def test_docstring_examples_run(example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give what they say they give.

    They may use the names of their own module, what `ae_model` exports, and np, pd and torch.
    """
    monkeypatch.chdir(tmp_path)
    module, _, _ = example.name.rpartition(".")
    example.globs = {name: getattr(ae_model, name) for name in ae_model.__all__}
    example.globs |= vars(importlib.import_module(module)) | {"np": np, "pd": pd, "torch": torch}
    said: list[str] = []
    result = doctest.DocTestRunner().run(example, out=said.append)
    assert not result.failed, "".join(said)
