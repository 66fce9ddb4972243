"""What the documents show runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def readme_example() -> str:
    """The README's Python block."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(block)


@pytest.mark.parametrize("name", ["README.md", "examples/notebook.py"])
def test_examples_run(tmp_path: Path, name: str) -> None:
    """In a folder and a process of their own, to the end."""
    script = tmp_path / "example.py"
    script.write_text(readme_example() if name == "README.md" else (ROOT / name).read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "code_activation" in done.stdout


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
