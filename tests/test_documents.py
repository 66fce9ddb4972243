"""What the documents name is there, and what is there they name."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from search.cli import app
from search.cross_validated import CrossValidated
from search.evaluation_record import Evaluation
from search.selection import Selection
from search.smallest_code import Answer
from search.smallest_code_record import SmallestCode
from search.table_types import EPOCH_TYPES, FOLD_TYPES, TRIAL_TYPES
from search.tables import EPOCH_COLUMNS, FOLD_COLUMNS, TRIAL_COLUMNS

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "results/README.md"]
DOCUMENTS += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("ae_model", "search", "tests", "docs", "benchmarks", "examples", "scripts")
"""What begins with one of these is a path in this repository; other paths are those of users' files."""


def read(document: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def section(document: str, title: str) -> str:
    """What stands under a heading that begins with a title."""
    _, _, rest = read(document).partition(f"\n## {title}")
    assert rest, f"{document} has no section {title!r}"
    return rest.partition("\n## ")[0]


def codes(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def paths(document: str) -> Iterator[str]:
    """The files of this repository that a document names, or links to."""
    text = read(document)
    for word in (word for code in codes(text) for word in code.split()):
        if re.match(rf"({'|'.join(FOLDERS)})/", word) or re.fullmatch(r"[\w-]+\.(py|md|yaml)", word):
            yield word
    folder = Path(document).parent
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        yield str(folder / target)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document: str) -> None:
    """Every path of this repository in a document, and every link to a file, leads somewhere."""
    named = list(paths(document))
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert named or document not in ("README.md", "CONTRIBUTING.md", "docs/design.md")


def test_the_design_names_every_module_once() -> None:
    """Its table of files is the tree of both packages."""
    table = re.findall(r"^\| `((?:ae_model|search)/[^`]+)` \|", section("docs/design.md", "3. "), flags=re.MULTILINE)
    modules = [path.relative_to(ROOT).as_posix() for package in ("ae_model", "search") for path in _modules(package)]
    assert sorted(table) == sorted(modules)


def _modules(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def test_the_design_gives_a_reason_for_every_dependency() -> None:
    """Its table of packages is the list in pyproject.toml."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    table = re.findall(r"^\| `([^`]+)` \|", section("docs/design.md", "12. "), flags=re.MULTILINE)
    assert sorted(table) == sorted(re.split("[<>=]", requirement)[0] for requirement in wanted)


def test_the_readme_lists_every_command_with_its_options() -> None:
    """The table of commands is what `ae-search --help` and each command's --help show."""
    rows = re.findall(r"^\| `ae-search (\w+)([^`]*)` \| (.*) \|$", read("README.md"), flags=re.MULTILINE)
    group = typer.main.get_command(app)
    assert [name for name, _, _ in rows] == list(group.commands)
    for name, arguments, text in rows:
        parameters = group.commands[name].params
        options = {p.opts[0] for p in parameters if p.param_type_name == "option"} - {"--help"}
        assert {code for code in codes(text) if code.startswith("--")} == options, name
        shown = [p.metavar for p in parameters if p.param_type_name == "argument"]
        assert [word.strip("[].") for word in arguments.split()] == shown, name


@pytest.mark.parametrize(
    ("title", "columns"),
    [("trials.csv", TRIAL_COLUMNS), ("folds.csv", FOLD_COLUMNS), ("epochs.parquet", EPOCH_COLUMNS)],
)
def test_every_column_is_documented_in_its_order(title: str, columns: list[str]) -> None:
    """The tables' columns, as the files have them."""
    text = section("results/README.md", title)
    first_cells = "\n".join(line.split("|")[1] if line.startswith("|") else line for line in text.splitlines())
    named = [word for code in codes(first_cells) for word in code.split(", ")]
    assert named == columns


@pytest.mark.parametrize(
    ("title", "types"),
    [("trials.csv", TRIAL_TYPES), ("folds.csv", FOLD_TYPES), ("epochs.parquet", EPOCH_TYPES)],
)
def test_every_type_is_documented(title: str, types: Mapping[str, str | tuple[str, ...]]) -> None:
    """The types that the columns have in pandas."""
    rows = [line.split("|")[1:3] for line in section("results/README.md", title).splitlines() if line.startswith("| `")]
    documented = {name: codes(type_) for names, type_ in rows for name in codes(names)}
    assert documented == {name: [of if isinstance(of, str) else "category"] for name, of in types.items()}


@pytest.mark.parametrize(
    ("title", "record"),
    [
        ("selection.json", Selection),
        ("smallest_code.json", SmallestCode),
        ("smallest_code.json", Answer),
        ("best/evaluation.json", Evaluation),
        ("What else is in best/", CrossValidated),
    ],
)
def test_every_field_is_documented(
    title: str, record: type[Selection | SmallestCode | Answer | Evaluation | CrossValidated]
) -> None:
    """The fields of the JSON files."""
    named = set(codes(section("results/README.md", title)))
    assert {field.name for field in fields(record)} <= named
