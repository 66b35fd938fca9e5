"""Everything that README and documentation tell a reader to run is run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from metaprior.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<skip><!-- not run: [^>]*-->\n)?```(?P<kind>python|console)\n(?P<text>.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in BLOCK.finditer(page.read_text()):
        if block["skip"]:
            continue
        if block["kind"] == "python":
            exec(compile(block["text"], str(page), "exec"), namespace)
            continue
        for line in block["text"].splitlines():
            prompt, program, *words = shlex.split(line)
            assert (prompt, program) == ("$", "metaprior"), f"{page.name}: cannot run '{line}'"
            assert main(words) == 0, f"{page.name}: '{line}' failed"


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_pages_are_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES[1:] if page.name not in navigation] == []
