"""The rules that keep the house in order: who may import what, and who may see the test split."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CHAIN = [
    "search.cli",
    "search.pipeline",
    "search.execution.runner",
    "search.execution.trainable",
    "ae_model.cross_validation",
    "ae_model.training",
    "ae_model.stack",
    "ae_model.autoencoder",
]


def _sources() -> dict[str, Path]:
    """The file of every module of both packages."""
    modules = {}
    for package in ("ae_model", "search"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            parts = [package, *path.relative_to(root).with_suffix("").parts]
            modules[".".join(part for part in parts if part != "__init__")] = path
    return modules


SOURCES = _sources()


def _public_names() -> dict[str, str]:
    """The module that each public name of a package comes from, as the package's stub says."""
    homes = {}
    for package in ("ae_model", "search"):
        stub = ast.parse(SOURCES[package].with_suffix(".pyi").read_text(encoding="utf-8"))
        for node in stub.body:
            assert isinstance(node, ast.ImportFrom)
            homes |= {f"{package}.{alias.name}": f"{package}.{node.module}" for alias in node.names}
    return homes


PUBLIC_NAMES = _public_names()


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _nodes(child)


def _imports(module: str) -> set[str]:
    """Names that a module imports anywhere at run time: of modules, or `module.name` where that is not known."""
    names = set()
    for node in _nodes(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _own_module(name: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    name = PUBLIC_NAMES.get(name, name)
    while name and name not in SOURCES:
        name = name.rpartition(".")[0]
    return name or None


def _graph() -> dict[str, set[str]]:
    graph = {}
    for module in SOURCES:
        used = {_own_module(name) for name in _imports(module)}
        graph[module] = {name for name in used if name is not None} - {module}
    return graph


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    to_visit = [start]
    while to_visit:
        for module in graph[to_visit.pop()] - seen:
            seen.add(module)
            to_visit.append(module)
    return seen


def _importers(*packages: str) -> set[str]:
    return {module for module in SOURCES if any(name.split(".")[0] in packages for name in _imports(module))}


def test_ray_is_imported_in_its_own_package_alone() -> None:
    """Nothing outside search/execution imports Ray."""
    importers = _importers("ray")
    assert importers
    assert all(module.startswith("search.execution.") for module in importers)


@pytest.mark.parametrize("package", ["ray", "pandas", "search", "typer", "pydantic", "sqlite3", "matplotlib"])
def test_the_model_does_not_know_the_search(package: str) -> None:
    """ae_model imports nothing of what only a search needs."""
    assert not {module for module in _importers(package) if module.startswith("ae_model")}


@pytest.mark.parametrize(
    ("package", "modules"),
    [
        ("typer", {"search.cli"}),
        ("sqlite3", {"search.ledger", "search.ledger_file", "search.ledger_reader"}),
        ("pydantic", {"search.settings", "search.settings_errors"}),
        (
            "matplotlib",
            {
                f"search.plots.{name}"
                for name in ("code_sizes", "features", "figures", "fve", "images", "losses", "trials")
            },
        ),
    ],
)
def test_each_edge_lives_in_the_files_named_for_it(package: str, modules: set[str]) -> None:
    """Typer lives in one file, SQLite in the ledger's, pydantic in model and messages, matplotlib in search/plots."""
    assert _importers(package) == modules


def test_no_import_cycle() -> None:
    """The modules of both packages can be sorted so that each imports only earlier ones, even inside functions."""
    graph = _graph()
    # A package's __init__ collects names from its modules, and no module of the package imports it back.
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(SOURCES)


def test_the_dependency_chain_has_no_back_arrows() -> None:
    """From cli over pipeline to autoencoder, each module reaches the next, and none reaches an earlier one."""
    graph = _graph()
    for position, module in enumerate(CHAIN):
        reached = _reachable(graph, module)
        assert set(CHAIN[position + 1 :]) <= reached, f"{module} does not reach what it should be built on"
        assert not set(CHAIN[: position + 1]) & reached, f"{module} points back"


def test_importing_the_model_does_not_import_ray() -> None:
    """A program that uses ae_model alone has Ray neither imported nor needed."""
    code = (
        "import sys; import ae_model; ae_model.load_dataset('digits'); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'ray', 'search'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_search_imports_nothing_slow() -> None:
    """`import search` answers at once: torch, pandas and Ray come with the first function that needs them."""
    code = "import sys, search; print(sorted({'ray', 'torch', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["console", "tables", "selection", "execution.runner"])
def test_reading_tables_and_steering_workers_imports_no_torch(module: str) -> None:
    """A table need not wait for torch, scikit-learn and matplotlib, nor the first trial for the driver's own torch."""
    code = f"import sys, search.{module}; print(sorted({{'torch', 'sklearn', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_evaluate_reads_the_test_split() -> None:
    """No other module has an expression `something.test` or `something.test_labels`.

    data.py makes the split: there, and in inliers.py, `test_labels` is also a field of what a file holds before it.
    """
    readers = set()
    for module, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("test", "test_labels"):
                made_here = module in ("ae_model.data", "ae_model.inliers") and ast.unparse(node.value) == "samples"
                made_here |= module == "ae_model.data" and ast.unparse(node) == "self.test"  # counts them
                if not made_here:
                    readers.add(module)
            # asdict and the like would read it without naming it
            if isinstance(node, ast.Constant) and node.value in ("test", "test_labels"):
                readers.add(f"{module}: {node.value!r}")
    assert readers == {"search.evaluation"}


def test_the_fingerprint_of_a_data_set_does_not_depend_on_its_test_rows() -> None:
    """What defines a trial is made from development rows alone: `Dataset.fingerprint` never names `test`."""
    tree = ast.parse(SOURCES["ae_model.data"].read_text(encoding="utf-8"))
    of_self = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    assert of_self == {"development", "value_range", "test"}, "test is only counted"


@pytest.mark.parametrize("package", ["ae_model", "search"])
def test_a_package_shows_its_public_names_and_nothing_else(package: str) -> None:
    """`dir` lists what the stub names, each of which is there."""
    module = importlib.import_module(package)
    names = sorted(name.partition(".")[2] for name in PUBLIC_NAMES if name.startswith(f"{package}."))
    assert dir(module) == names == sorted(module.__all__)
    for name in names:
        assert callable(getattr(module, name))


def test_sql_is_written_in_the_ledgers_files_alone() -> None:
    """No other module holds a text that is a query."""
    words = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "PRAGMA ", "CREATE ")
    holders = {
        module
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(words)
    }
    assert holders == {"search.ledger", "search.ledger_file", "search.ledger_reader"}
