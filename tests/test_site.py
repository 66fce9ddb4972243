"""The documentation's site: it is built without a warning, asks no other host, and what its pages show is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ae_model
import search

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
WITHOUT_A_RUN = ("design", "api", "cluster", "index")
"""Pages that show no command that could be run here, but for the installation, which the README's test does."""


def test_the_site_is_built(tmp_path: Path) -> None:
    """Strictly, with every page in its navigation; no page loads anything from elsewhere."""
    pytest.importorskip("mkdocs", reason="no mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not included in the" not in done.stderr, "every page is in the navigation"
    for page in PAGES:
        html = (tmp_path / "site" / f"{page}.html").read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]*src=\"?(?:https?:)?//", html), page
        assert not re.search(r"<link[^>]*rel=\"?(?:stylesheet|preconnect)\"?[^>]*href=\"?(?:https?:)?//", html), page


def test_the_reference_has_every_public_name() -> None:
    """And no other."""
    shown = re.findall(r"^::: (\w+)\.(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(
        (package.__name__, name) for package in (ae_model, search) for name in package.__all__
    )


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks of code of a page, each with its language."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_every_page_is_run_or_shows_nothing() -> None:
    """A page without a run has none but the commands that need a cluster, or the one that installs."""
    for page in WITHOUT_A_RUN:
        shown = [(kind, code) for kind, code in blocks(page) if kind in ("sh", "python")]
        assert all(code == "pip install . && ae-search run\n" for _, code in shown), page


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT_A_RUN])
def test_what_a_page_shows_is_so(page: str, tmp_path: Path) -> None:
    """Its commands and examples run one after the other, and print every line that it shows, but for the digits."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    before = ""  # an example goes on from those before it
    for kind, codes, shown in steps(page):
        code = f"\nprint({MARK!r}, flush=True)\n".join(codes)
        command = ["bash", "-euo", "pipefail", "-c", code] if kind == "sh" else [sys.executable, "-c", before + code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}{done.stdout}{done.stderr}"
        outputs = done.stdout.split(f"{MARK}\n")
        if kind == "python":
            before += "".join(codes)
        else:
            outputs[0] += done.stderr
        for output, lines in zip(outputs, shown, strict=True):
            said = {_masked(line) for line in output.splitlines()}
            assert [line for line in lines if line.strip() and _masked(line) not in said] == [], output


MARK = "-- the next example --"


def steps(page: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """What is run at once: a block of commands, or several of Python in a row; each with the lines shown below it."""
    found: list[tuple[str, list[str], list[list[str]]]] = []
    for kind, code in blocks(page):
        if kind == "text" and found:
            found[-1][2][-1].extend(code.splitlines())
        elif kind == "python" and found and found[-1][0] == "python":
            found[-1][1].append(code)
            found[-1][2].append([])
        elif kind in ("sh", "python") and code != "pip install .\n":
            found.append((kind, [code], [[]]))
    return found


def _masked(line: str) -> str:
    """A line without its digits, and ids of trials, which may be others on other machines."""
    line = re.sub(r"\b[0-9a-f]{10}\b", "ID", line.strip())
    return re.sub(r"\d+", "#", line)
