"""The commands, code blocks, links and paths of README.md and docs/ work as written.

Cheap commands run, page by page and in their order, in a folder that holds small files with the
names that the pages use. Of the others (`TOO_EXPENSIVE`) the command line is parsed: an option
that no longer exists fails here.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
import yaml

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from docs_helpers import (
    PAGES,
    ROOT,
    TUTORIALS,
    Command,
    all_blocks,
    anchors,
    blocks,
    commands,
    links,
    page_name,
    prose,
    spans,
)
from docs_outputs import (
    PROGRAMS,
    allowed_codes,
    assert_same,
    pages_with_output,
    run_as_user,
    run_page,
    too_expensive,
    with_output,
)

import dps_infer
from dps_infer import write_threshold
from dps_infer.bulk.threshold_estimate import make_threshold
from dps_infer.contexts.saved import read_saved
from dps_infer.rules.file import read_rules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SMALL_TRAINING = ("--pairs", "200", "--epochs", "1")

NOT_OURS = {
    "git": "another program",
    "npm": "another program",
    "playwright": "another program",
    "pytest": "another program",
    "ray": "another program",
    "torchrun": "of PyTorch; tests/train/fit/test_end_to_end",
}
MODULES_TOO_EXPENSIVE = {
    "benchmarks": "needs data sets, minutes to hours",
    "clients.conformance.make": "replaces files of the repository",
    "http.server": "serves until it is stopped",
    "dps_export.universal": "replaces the file in the package",
    "dps_train.pretrain": "trains for an hour",
    "pytest": "runs the tests inside of a test",
    "tests.fuzz.coverage": "needs atheris",
    "tests.fuzz": "runs in tests/fuzz, and for as long as it is given",
}

CLICK_ERROR = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The base of click's errors; Typer brings a click of its own, or uses the package."""

ALL_COMMANDS = [command for page in PAGES for command in commands(page)]


def command_line(name: str) -> Any:
    """The command line of a program, as Typer's click sees it."""
    return typer.main.get_command(importlib.import_module(PROGRAMS[name]).app)


def parse(words: tuple[str, ...]) -> None:
    """Parse a command line without running it.

    Raises:
        CLICK_ERROR: there is no such command or option, or a value is wrong.
    """
    command, context = command_line(words[0]), None
    arguments = list(words[1:])
    while True:
        context = command.make_context(words[0], list(arguments), parent=context)
        if not hasattr(command, "commands"):
            return
        arguments = [*getattr(context, "_protected_args", ()), *context.args]
        if not arguments:
            return
        _, command, arguments = command.resolve_command(context, arguments)


@pytest.mark.parametrize(
    "command", [c for c in ALL_COMMANDS if c.words[0] in PROGRAMS], ids=lambda command: str(command)
)
def test_options_exist(command: Command):
    try:
        parse(command.words)
    except CLICK_ERROR as error:
        pytest.fail(f"{command}\n{error.format_message()}")


def test_wrong_options_are_found():
    parse(("dps-infer", "compare", "a.png", "b.png", "--ranking", "color,blur"))
    parse(("dps-train", "contexts", "show", "labels"))
    for wrong in (
        ("dps-infer", "compare", "a.png", "b.png", "--rankings", "color,blur"),
        ("dps-train", "--variant", "none", "--ranking", "color,blur"),
        ("dps-export", "--no-such-option"),
        ("dps-infer", "measure", "a.png"),
    ):
        with pytest.raises(CLICK_ERROR):
            parse(wrong)


def test_other_programs_are_known():
    known = {*PROGRAMS, *NOT_OURS, "make", "pip", "python"}
    unknown = [str(c) for c in ALL_COMMANDS if Path(c.words[0]).name not in {*known, "pre-commit"}]
    assert unknown == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for command in ALL_COMMANDS:
        if command.words[0] == "make":
            assert {w for w in command.words[1:] if "=" not in w} <= targets, command


def test_extras_exist_and_the_package_is_installed_from_a_checkout():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for source, listed in re.findall(r"pip install[^`\n]*?([\w./-]*)\[([\w,]+)\]", text):
            assert source in (".", "./dps-toolkit"), f"{page_name(page)}: the name {source}"
            assert set(listed.split(",")) <= extras, f"{page_name(page)}: {listed}"


def test_nobody_is_told_to_install_a_name_that_no_index_has():
    wrong = re.compile(r"""pip install (?:--?[\w-]+ )*["']?dps[-_]toolkit\b""")
    assert wrong.search('pip install --upgrade "dps-toolkit[cpu]"')
    assert not wrong.search('pip install ".[cpu]" in a checkout of dps-toolkit')
    found = []
    for folder in ("dps_infer", "dps_train", "export", "examples", "benchmarks", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".html", ".js"):
                lines = path.read_text(encoding="utf-8").splitlines()
                found += [f"{page_name(path)}: {line}" for line in lines if wrong.search(line)]
    assert found == []


# --- Commands that run ------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder that the README's first training writes, after a much smaller training."""
    folder = tmp_path_factory.mktemp("training")
    write_photographs(folder / "photos")
    (command,) = (
        c
        for c in commands(ROOT / "README.md")
        if c.words[:2] == ("dps-train", "--ranking") and "runs/mine" in c.words
    )
    run_here(command.words + SMALL_TRAINING, folder)
    return folder / "runs" / "mine"


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context file."""
    folder = tmp_path_factory.mktemp("frozen")
    run_here(("dps-export", "--ranking", "color,blur", "-o", "ctx.onnx"), folder)
    return folder / "ctx.onnx"


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth colors, uint8 BGR."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_photographs(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number, 96, 96))


def prepare(folder: Path, frozen: Path, trained_run: Path) -> None:
    """Write small files of the names that the pages use."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    reference = picture(0)
    blurred = cv2.GaussianBlur(reference, (0, 0), 2)
    shifted = np.roll(reference, 9, axis=1)
    images = {
        **dict.fromkeys(("reference", "a", "sheet", "photo", "references/1"), reference),
        **dict.fromkeys(("candidate", "b", "scan", "one", "candidates/1"), blurred),
        **dict.fromkeys(("c", "two", "candidates/2", "references/2"), shifted),
        "baselines/1": reference,
        "screenshots/1": blurred,
        "halftone/1": reference,
        "halftone/1-4": blurred,
    }
    for name, pixels in images.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), pixels)
    cv2.imwrite(str(folder / "mask.png"), np.full(reference.shape, 255, np.uint8))
    for name in ("photos", "other-photos", "photographs"):
        write_photographs(folder / name)
    cv2.imwrite(str(folder / "photo.jpg"), reference)
    for name in ("pairs", "acceptable", "pages"):
        rows = "reference.png,candidate.png\nreference.png,two.png\n" * (
            85 if name == "pages" else 20
        )
        (folder / f"{name}.csv").write_text("reference,candidate\n" + rows)
    for name, pixels in (("a", reference), ("b", blurred)):
        size = (pixels.shape[1], pixels.shape[0])
        fourcc = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(folder / f"{name}.avi"), fourcc, 5, size)
        for _ in range(6):
            writer.write(pixels)
        writer.release()
    for name in ("ctx", "other", "jpeg", "halftone", "mine"):
        shutil.copy(frozen, folder / f"{name}.onnx")
    universal = Path(importlib.import_module("dps_infer.model.embedded").UNIVERSAL)
    shutil.copy(universal, folder / "my-universal.onnx")
    shutil.copytree(trained_run, folder / "runs" / "mine")


OUTPUTS = ("-o", "--output", "--out", "--sheet", "--map", "--json")


def remove_stand_ins(words: tuple[str, ...], folder: Path, written: set[Path]) -> None:
    """Remove prepared files that a command writes; those of earlier commands stay."""
    for option, value in itertools.pairwise(words):
        path = (folder / value).resolve()
        if option in OUTPUTS and not value.startswith("-") and path not in written:
            written.add(path)
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


def run_here(words: tuple[str, ...], folder: Path) -> None:
    """Run a command in a folder, in this process, which has imported PyTorch already."""
    main = importlib.import_module(PROGRAMS[words[0]]).main
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", list(words))
        with pytest.raises(SystemExit) as leaving:
            main()
    assert leaving.value.code == 0, " ".join(words)


def cheap(page: Path) -> Iterator[Command]:
    """The commands of a page that run here."""
    for command in commands(page):
        program, *rest = command.words
        module = program == "python" and rest[0] == "-m" and rest[1] in MODULES_TOO_EXPENSIVE
        if program in ("python", *PROGRAMS) and not module and too_expensive(command) is None:
            yield command


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(cheap(p)) and p not in TUTORIALS], ids=page_name
)
def test_commands_run(page, tmp_path, frozen, trained_run, monkeypatch, run_main):
    monkeypatch.setenv("DPS_CONTEXTS", str(tmp_path / "saved-contexts"))
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path, frozen, trained_run)
    written: set[Path] = set()
    for command in cheap(page):
        remove_stand_ins(command.words, tmp_path, written)
        program, *arguments = command.words
        # In this process, which has imported PyTorch once; but serve reads standard input.
        if program in PROGRAMS and "serve" not in arguments:
            code, out, err = run_main(PROGRAMS[program], *arguments)
            assert code in allowed_codes(command.words), f"{command}\n{out}{err}"
        else:
            run_as_user(command.words, tmp_path)


@pytest.mark.parametrize("page", pages_with_output(), ids=page_name)
def test_outputs_are_what_users_see(page, tmp_path):
    """In a folder of examples only; `python tests/docs_outputs.py` renews the outputs."""
    for shown, output in run_page(page, tmp_path):
        assert_same(output, shown.content)


def test_every_tutorial_shows_outputs():
    shown = {page.stem for page in pages_with_output()}
    assert {page.stem for page in TUTORIALS} - shown == {"index"}


def test_other_outputs_are_found():
    assert_same("distance 0.204 (blur)\n", "distance 0.2 (blur)\n")
    for other in ("distance 0.3 (blur)", "distance 0.2 (noise)", "distance 0.2 (blur) 1"):
        with pytest.raises(AssertionError):
            assert_same(other, "distance 0.2 (blur)")


# --- Code, data, links and paths --------------------------------------------------------


def test_python_of_the_readme_runs(tmp_path, frozen, trained_run, monkeypatch, capsys):
    prepare(tmp_path, frozen, trained_run)
    monkeypatch.chdir(tmp_path)
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "blur" in capsys.readouterr().out


def test_python_client_of_serve_runs(tmp_path, frozen, trained_run, monkeypatch):
    prepare(tmp_path, frozen, trained_run)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(ROOT / "docs" / "serve.md", "python")
    # The console script of this environment, wherever it is.
    program = f'[{sys.executable!r}, "-m", "dps_infer.cli", "serve", "--stdio"]'
    assert block.count('["dps-infer", "serve", "--stdio"]') == 1
    (tmp_path / "client.py").write_text(block.replace('["dps-infer", "serve", "--stdio"]', program))
    lines = run_as_user(("python", "client.py"), tmp_path).stdout.splitlines()
    assert "'ready': True" in lines[0]
    assert [float(line) > 0 for line in lines[1:]] == [True, True]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_node_client_of_serve_runs(tmp_path, frozen, trained_run):
    prepare(tmp_path, frozen, trained_run)
    (block,) = blocks(ROOT / "docs" / "serve.md", "js")
    program = f'spawn({json.dumps(sys.executable)}, ["-m", "dps_infer.cli", "serve", "--stdio"]'
    assert block.count('spawn("dps-infer", ["serve", "--stdio"]') == 1
    block = block.replace('spawn("dps-infer", ["serve", "--stdio"]', program)
    (tmp_path / "client.cjs").write_text(block)
    result = subprocess.run(
        ["node", "client.cjs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert [float(line) > 0 for line in result.stdout.splitlines()] == [True, True]


def test_python_of_visual_regression_runs(tmp_path, monkeypatch):
    page = ROOT / "docs" / "visual-regression.md"
    (block,), (message,) = blocks(page, "python"), blocks(page, "text")
    names: dict = {"__file__": str(tmp_path / "test_pages.py")}
    exec(compile(block, page.name, "exec"), names)
    run_as_user(("python", ROOT / "examples/tutorials/ui_pages.py", "-o", "pages"), tmp_path)
    shots = [tmp_path / "pages" / name for name in ("baselines/00.png", "changed/button-gone.png")]
    metric = dps_infer.Metric.named("ui-regression", device="cpu")
    threshold = make_threshold([0.05] * 200, metric, references=200)
    (tmp_path / "baselines").mkdir()
    write_threshold(threshold, tmp_path / "baselines" / "pages.threshold.json", force=True)

    class Page:
        def goto(self, url: str) -> None:
            pass

        def screenshot(self) -> bytes:
            return shots[0].read_bytes()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPS_UPDATE_BASELINES", "1")
    names["test_start_page"](Page())
    assert (tmp_path / "baselines" / "start-page.png").is_file()
    monkeypatch.setenv("DPS_UPDATE_BASELINES", "0")
    names["test_start_page"](Page())
    shots.reverse()
    with pytest.raises(AssertionError) as failure:
        names["test_start_page"](Page())
    *said, folder = str(failure.value).splitlines()
    *shown, shown_folder = message.removeprefix("AssertionError: ").splitlines()
    assert_same("\n".join(said), "\n".join(shown))
    start = "images and heat map in dps-failures/"
    assert folder.startswith(start)
    assert shown_folder.startswith(start)


def test_python_of_custom_distortions_is_the_example():
    (block,) = blocks(ROOT / "docs" / "custom-distortions.md", "python")
    assert block in (ROOT / "examples" / "jpeg_distortion.py").read_text(encoding="utf-8")


def test_python_of_clusters_takes_parameters_that_exist():
    (block,) = blocks(ROOT / "docs" / "clusters.md", "python")
    compile(block, "clusters.md", "exec")
    scorer = importlib.import_module("dps_infer.bulk.ray_batches").PairScorer
    parameters = scorer.__init__.__annotations__
    text = prose(ROOT / "docs" / "clusters.md")
    taken = re.search(r"`how` takes the options of `dps-infer batch`: (.*?)\.", text, re.DOTALL)
    assert taken
    names = {*re.findall(r"`(\w+)`", taken[1]), "folder", "threads"}
    assert names <= set(parameters)


TESTED = {
    ("README.md", "python"): 1,
    ("docs/clusters.md", "python"): 1,
    ("docs/contexts.md", "toml"): 1,
    ("docs/custom-distortions.md", "python"): 1,
    ("docs/custom-distortions.md", "toml"): 2,
    ("docs/loss.md", "python"): 2,
    ("docs/python.md", "python"): 12,  # by tests/infer/test_python_docs.py
    ("docs/rules.md", "toml"): 1,
    ("docs/rules.md", "yaml"): 1,
    ("docs/runtimes.md", "python"): 1,  # by tests/export/test_openvino.py
    ("docs/serve.md", "js"): 1,
    ("docs/serve.md", "json"): 2,
    ("docs/serve.md", "python"): 1,
    ("docs/visual-regression.md", "python"): 1,
    ("docs/visual-regression.md", "text"): 1,
    ("docs/visual-regression.md", "yaml"): 2,
}
"""How many blocks of code of a page a test runs or reads: one here, or the one that is named."""

NOT_RUN = {
    ("ARCHITECTURE.md", "text"): (1, "a drawing"),
    ("docs/custom-distortions.md", "text"): (1, "needs a metric that was trained for minutes"),
    ("docs/regions.md", "text"): (1, "a reading of a pair that is not shown"),
    ("docs/runtimes.md", "js"): (1, "needs npm's onnxruntime-web; tests/benchmarks/test_runtimes"),
}
"""Blocks of code that no test runs, with the reasons."""


def test_every_block_is_tested_or_says_why_not():
    """Commands are tested above, and so are the outputs that are shown right below them."""
    found: Counter[tuple[str, str]] = Counter()
    for page in PAGES:
        run = {block for pair in with_output(page) for block in pair}
        found.update(
            (page_name(page), block.language)
            for block in all_blocks(page)
            if block.language != "sh" and block not in run
        )
    assert found == TESTED | {block: count for block, (count, _) in NOT_RUN.items()}


def test_toml_of_custom_distortions_is_read():
    entry_point, about = blocks(ROOT / "docs" / "custom-distortions.md", "toml")
    (group,) = tomllib.loads(entry_point)["project"]["entry-points"]
    assert group == importlib.import_module("dps_train.distortions.installed").GROUP
    settings = importlib.import_module("dps_train.custom.read_recording")._Settings
    assert set(tomllib.loads(about)) == set(settings.__struct_fields__)


def test_json_of_serve_is_json():
    ready, answers = blocks(ROOT / "docs" / "serve.md", "json")
    assert json.loads(ready)["ready"] is True
    assert [json.loads(line)["ok"] for line in answers.splitlines()] == [True, False]


def test_workflow_of_visual_regression_is_one():
    workflow, step = (
        yaml.safe_load(b) for b in blocks(ROOT / "docs" / "visual-regression.md", "yaml")
    )
    steps = [*workflow["jobs"]["pages"]["steps"], *step]
    assert all("uses" in step or "run" in step for step in steps)
    ours = [shlex.split(s["run"]) for s in steps if s.get("run", "").startswith("dps-")]
    assert ours
    for words in ours:
        parse(tuple(words))


def test_python_of_the_loss_runs(capsys):
    loss, torchmetrics = blocks(ROOT / "docs" / "loss.md", "python")
    names: dict = {}
    exec(compile(loss, "loss.md", "exec"), names)
    assert names["output"].grad.any()
    pytest.importorskip("torchmetrics")
    exec(compile(torchmetrics, "loss.md", "exec"), {})
    assert "tensor(" in capsys.readouterr().out


def test_toml_of_contexts_is_a_saved_context(tmp_path):
    (block,) = blocks(ROOT / "docs" / "contexts.md", "toml")
    (tmp_path / "labels.toml").write_text(block, encoding="utf-8")
    assert read_saved(tmp_path / "labels.toml").figures == {"adapted": 0.98}


def test_toml_of_rules_is_that_of_the_example(tmp_path, monkeypatch):
    (block,) = blocks(ROOT / "docs" / "rules.md", "toml")
    example = ROOT / "examples" / "tutorials" / "dps.toml"
    assert block == example.read_text(encoding="utf-8").partition("\n")[2]
    assert len(read_rules(example).tables) == 2


def test_workflow_of_rules_uses_inputs_that_exist():
    (block,) = blocks(ROOT / "docs" / "rules.md", "yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    (given,) = (step["with"] for step in yaml.safe_load(block) if "dps-toolkit" in step["uses"])
    assert set(given) <= set(action["inputs"])
    assert {name for name, one in action["inputs"].items() if one.get("required")} <= set(given)
    table = re.findall(r"^\| `([a-z-]+)` \|", prose(ROOT / "docs" / "rules.md"), re.MULTILINE)
    assert set(action["inputs"]) <= set(table)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_resolve(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page_name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page_name(page)} links to {target}"


def test_every_page_is_in_the_index():
    listed = {target.partition("#")[0] for target in links(ROOT / "docs" / "index.md")}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages - listed == set()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_paths_in_code_spans_exist(page):
    """Files of the project that are named in full; pages of docs/ may name them too."""
    named = re.compile(
        r"(?:dps_infer|dps_train|export|tests|benchmarks|examples|docs|clients)/[\w./-]*"
    )
    paths = [
        span for span in spans(page) if named.fullmatch(span) and not re.search(r"[*<{]", span)
    ]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == [], page_name(page)


def test_pages_that_the_code_names_exist():
    """Help texts and docstrings send readers to pages."""
    missing = []
    for folder in ("dps_infer", "dps_train", "export", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            named = re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))
            missing += [f"{page_name(path)}: {n}" for n in named if not (ROOT / n).is_file()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_in_code_spans_exist(page):
    for span in spans(page):
        words = span.split()
        if words[0] not in PROGRAMS:
            continue
        command = command_line(words[0])
        rest = words[1:]
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        if hasattr(command, "commands") and rest and not command.invoke_without_command:
            assert rest[0].startswith("-"), f"{page_name(page)}: there is no `{span}`"
        known = {option for parameter in command.params for option in parameter.opts}
        known |= {option for parameter in command.params for option in parameter.secondary_opts}
        for word in rest:
            option = word.partition("=")[0]
            if re.fullmatch(r"--?[a-z][a-z0-9-]*", option):
                assert option in {*known, "--help"}, f"{page_name(page)}: {option} in `{span}`"


def all_commands(name: str, command: Any) -> Iterator[str]:
    """The names of a program and its commands; those of `contexts` count as one."""
    if not hasattr(command, "commands"):
        yield name
        return
    if command.invoke_without_command and name == "dps-train":
        yield name
    yield from (f"{name} {child}" for child in command.commands)


def test_the_table_of_commands_is_complete():
    table = set(re.findall(r"^\| `(dps-[a-z -]+)` \|", prose(ROOT / "README.md"), re.MULTILINE))
    there_are = {name for p in PROGRAMS for name in all_commands(p, command_line(p))}
    assert table == there_are


def test_the_readme_fits():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 220
