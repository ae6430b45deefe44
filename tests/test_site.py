"""The site of the documentation (`make docs`): no warning, all public names, no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dps_infer

ROOT = Path(__file__).parents[1]

pytest.importorskip("material", reason="needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr.strip() == ""
    return folder


def test_every_public_name_is_in_the_reference(site):
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    anchors = {name.rpartition(".")[2] for name in re.findall(r'id="(dps_infer\.[\w.]+)"', text)}
    assert {name for name in dps_infer.__all__ if name != "__version__"} <= anchors


def test_nothing_is_loaded_from_the_network(site):
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?(?:https?:)?//")
    imported = re.compile(r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"]?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = [tag for tag in loaded.findall(text) if "canonical" not in tag]
        assert found == [], page
    for sheet in site.rglob("*.css"):
        assert imported.findall(sheet.read_text(encoding="utf-8")) == [], sheet


def test_links_of_pages_outside_of_docs_lead_to_pages(site):
    overview = (site / "overview.html").read_text(encoding="utf-8")
    assert 'href="compare.html#how-images-are-decoded"' in overview
    assert 'src="images/two-contexts.png"' in overview
    assert 'href="project/architecture.html"' in overview
    assert (site / "examples" / "jpeg_distortion.py").is_file()
