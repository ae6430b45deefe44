"""Regions left out and found, from the command line and other front doors."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dps_infer import Ignored, Metric
from dps_infer.bulk.batch import score_file
from dps_infer.errors import UsageError
from dps_infer.images.decode import load_picture
from dps_infer.report.build import build_report
from dps_infer.serve import Server
from dps_infer.show.heatmap import draw_map
from dps_infer.show.regions import HATCH_DARK, HATCH_LIGHT
from dps_infer.testing import assert_similar

CLOCK, ADVERTISEMENT = (560, 10, 70, 24), (420, 120, 200, 160)
PLACES = {"title": (20, 60), "menu": (20, 300), "button": (300, 420), "corner": (600, 440)}
BOXES = [",".join(map(str, box)) for box in (CLOCK, ADVERTISEMENT)]
IGNORE = [word for box in BOXES for word in ("--ignore", box)]
GREEN = ("--importance", "blur=1")


def page(time: str = "10:42", seed: int = 0, change: str | None = None) -> np.ndarray:
    """Draw a page with a clock and an advertisement, and maybe a small change elsewhere."""
    image = np.full((480, 640, 3), 245, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, "Weather", (20, 50), font, 1.2, (40, 40, 60), 2, cv2.LINE_AA)
    for row in range(6):
        cv2.putText(image, f"line {row}", (20, 120 + 40 * row), font, 0.7, (60, 60, 60), 1)
    cv2.rectangle(image, (300, 400), (380, 440), (40, 90, 200), cv2.FILLED)
    x, y, width, height = CLOCK
    cv2.putText(image, time, (x, y + 20), font, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    x, y, width, height = ADVERTISEMENT
    texture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image[y : y + height, x : x + width] = texture
    if change is not None:
        x, y = PLACES[change]
        image[y : y + 12, x : x + 12] = (255, 0, 90)
    return image


def save(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return [*csv.DictReader(stream)]


@pytest.fixture
def pages(tmp_path):
    """The page; the same at another time; and one that changed elsewhere too."""
    return [
        save(tmp_path / "page.png", page()),
        save(tmp_path / "later.png", page("11:07", 1)),
        save(tmp_path / "changed.png", page("11:07", 1, "button")),
    ]


@pytest.fixture(scope="module")
def embedded():
    return Metric.named("ui-regression", device="cpu", threads=1)


def test_a_clock_and_an_advertisement(embedded):
    """Every change elsewhere is found, and none inside changes a bit."""
    for change in (None, *PLACES):
        found = [
            embedded.compare(
                page(), page(*inside, change), ignore=BOXES, with_map=True, with_regions=True
            )
            for inside in (("10:42", 0), ("11:07", 1))
        ]
        assert found[1] == found[0]
        assert (found[1].map == found[0].map).all()
        assert (found[1].cells == found[0].cells).all()
        assert found[0].identical == (change is None)
        boxes = [(r.x, r.y, r.width, r.height) for r in found[0].regions]
        assert boxes == ([] if change is None else [(*PLACES[change], 12, 12)])
        assert (found[0].distance > 0) == (change is not None)
    assert embedded.compare(page(), page("11:07", 1)).distance > 0


def test_compare(cli, context_path, pages, tmp_path):
    common = ["compare", *map(str, pages), "--context", str(context_path), *IGNORE]
    records = json.loads(cli(*common, "--json").out)
    assert [record["identical"] for record in records] == [True, False]
    assert records[0]["regions"] == []
    (region,) = records[1]["regions"]
    assert [region[n] for n in ("x", "y", "width", "height")] == [*PLACES["button"], 12, 12]
    assert records[1]["ignored"] == pytest.approx((70 * 24 + 200 * 160) / (480 * 640))
    assert "of the image is left out" in records[1]["notes"][0]


def test_a_threshold_on_the_worst_region(cli, context_path, pages):
    one = ["compare", str(pages[0]), str(pages[2]), "--context", str(context_path), *IGNORE]
    record = json.loads(cli(*one, "--json").out)
    limit = ("--threshold", str(2 * record["distance"]))
    whole = cli(*one, *limit)
    assert whole.code == 0
    worst = cli(*one, *limit, "--gate", "worst")
    assert worst.code == 3
    assert "above the threshold" in worst.out
    assert "in its worst region" in worst.out
    assert "12x12 at 300,420" in worst.out
    record = json.loads(cli(*one, *limit, "--gate", "worst", "--json").out)
    assert record["above"]
    assert record["gate"] == "worst"
    high = cli(*one, "--threshold", "99", "--gate", "worst")
    assert high.code == 0
    assert "nor is any region" in high.out


def test_maps_are_hatched_and_have_boxes(cli, context_path, pages, tmp_path):
    out = tmp_path / "map.png"
    one = ["compare", str(pages[0]), str(pages[2]), "--context", str(context_path)]
    result = cli(*one, *IGNORE, "--map", str(out))
    assert result.code == 0
    assert "region 1: " in result.out
    picture = load_picture(out, label="map").color
    x, y, width, height = ADVERTISEMENT
    inside = picture[y : y + height, x : x + width].reshape(-1, 3)
    assert {tuple(color) for color in inside.tolist()} == {HATCH_DARK, HATCH_LIGHT}
    x, y = PLACES["button"]
    assert picture[y + 11, x + 6].tolist() == [255, 255, 255], "the outline of the box"


def test_a_picture_keeps_what_is_below_where_nothing_is_left_out(context):
    first, second = page(), page(change="title")
    found = context.compare(first, second, with_map=True, ignore=BOXES)
    mask = Ignored(BOXES).mask((640, 480))
    plain = draw_map(found, context, second)
    hatched = draw_map(found, context, second, ignored=mask)
    assert (plain[~mask] == hatched[~mask]).all()


def test_rank(cli, context_path, pages):
    command = ["rank", *map(str, [pages[0], pages[2], pages[1]]), "--context", str(context_path)]
    found = json.loads(cli(*command, *IGNORE, "--json").out)["candidates"]
    assert Path(found[0]["candidate"]).name == "later.png"
    assert [one["identical"] for one in found] == [True, False]


def test_a_mask(cli, context_path, pages, tmp_path):
    counts = np.full((480, 640, 3), 255, np.uint8)
    for x, y, width, height in (CLOCK, ADVERTISEMENT):
        counts[y : y + height, x : x + width] = 0
    mask = save(tmp_path / "mask.png", counts)
    common = ["compare", *map(str, pages), "--context", str(context_path), "--json"]
    by_mask = cli(*common, "--mask", str(mask)).out
    assert by_mask == cli(*common, *IGNORE).out
    save(mask, counts[:100])
    result = cli(*common, "--mask", str(mask))
    assert result.code == 1
    assert "expected the size of the reference, 640x480" in result.err


@pytest.mark.parametrize("box", ["1,2,3", "nothing", "0,0,0,5"])
def test_mistakes_are_one_line(cli, context_path, pages, box):
    result = cli("compare", *map(str, pages), "--context", str(context_path), "--ignore", box)
    assert result.code == 2
    assert "expected a box" in result.err.splitlines()[-1]


def test_folder(cli, context_path, tmp_path):
    for folder, inside in (("ref", ()), ("cand", ("11:07", 1))):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "same.png", page(*inside))
        change = () if folder == "ref" else ("menu",)
        save(tmp_path / folder / "changed.png", page(*(inside or ("10:42", 0)), *change))
    command = ["folder", str(tmp_path / "ref"), str(tmp_path / "cand"), "--json"]
    command += ["--context", str(context_path), *IGNORE]
    record = json.loads(cli(*command).out)
    assert record["summary"]["identical"] == 1
    (result,) = record["pairs"][0]["results"].values()
    assert result["regions"] is None
    limit = ["--threshold", str(2 * result["distance"])]
    assert cli(*command, *limit).code == 0
    found = cli(*command, *limit, "--gate", "worst")
    assert found.code == 3
    record = json.loads(found.out)
    (spread,) = record["summary"]["results"].values()
    assert spread["above"] == 1
    (result,) = record["pairs"][0]["results"].values()
    assert (result["regions"][0]["x"], result["regions"][0]["y"]) == PLACES["menu"]


@pytest.fixture
def table(pages, tmp_path):
    """Pairs with boxes in a column, without, and with one that is not valid."""
    path = tmp_path / "pairs.csv"
    rows = [["later.png", "; ".join(BOXES)], ["later.png", ""], ["later.png", "1,2"]]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["reference", "candidate", "ignore"])
        writer.writerows([["page.png", *row] for row in rows])
    return path


def test_batch_takes_boxes_from_a_column(cli, context_path, table, tmp_path):
    out = tmp_path / "out.csv"
    command = ["batch", str(table), "-o", str(out), "--context", str(context_path)]
    assert cli(*command).code == 4
    rows = read(out)
    assert [row["identical"] for row in rows[:2]] == ["true", "false"]
    assert "row 3, column 'ignore': expected a box" in rows[2]["error"]
    assert cli(*command, "--force", *IGNORE).code == 4
    assert [row["identical"] for row in read(out)][:2] == ["true"] * 2


def test_a_batch_resumes_with_the_same_boxes_only(cli, context, table, tmp_path):
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        score_file(table, out, {"a": context}, ignored=Ignored(BOXES), batch_size=1, progress=stop)
    with pytest.raises(Exception, match="the difference is: --ignore or --mask"):
        score_file(table, out, {"a": context}, batch_size=1, resume=True)
    score_file(table, out, {"a": context}, ignored=Ignored(BOXES), batch_size=1, resume=True)


def test_report_lists_regions_and_hatches(cli, context, context_path, table, pages, tmp_path):
    table.write_text(table.read_text() + f'page.png,changed.png,"{"; ".join(BOXES)}"\n')
    out = tmp_path / "out.csv"
    assert cli("batch", str(table), "-o", str(out), "--context", str(context_path)).code == 4
    data = _data(build_report(out, metrics={context.label: context}).page)
    assert data["pairs"]["hatch"] == [0, None, None, 0]
    url = data["hatches"][0].removeprefix("data:image/png;base64,")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(url), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape[:2] == (192, 256)
    assert picture[100, 200, 3] == 255
    assert picture[10, 10, 3] == 0
    (maps,) = data["maps"]
    (region,) = maps["3"]["regions"]
    assert (region["left"], region["top"]) == (300 / 640, 420 / 480)
    assert "12x12 at 300,420" in region["words"]
    assert maps["0"]["distance"] == 0


def _data(html: bytes) -> dict:
    text = html.decode().split('<script type="application/json" id="data">')[1]
    return json.loads(text.split("</script>")[0])


def test_serve(universal, pages, tmp_path):
    server = Server({"a": universal}, ignored=Ignored(BOXES[:1]))
    request = {"method": "compare", "reference": str(pages[0]), "candidate": str(pages[1])}

    def ask(**more) -> dict:
        answer, _ = server.answer(json.dumps({**request, **more}).encode())
        return answer

    assert ask()["result"]["distance"] > 0
    found = ask(ignore=BOXES[1:])["result"]
    assert found["identical"]
    assert found["regions"] is None
    assert found["ignored"] > 0
    found = ask(ignore=BOXES[1:], candidate=str(pages[2]), regions=True)["result"]
    assert (found["regions"][0]["x"], found["regions"][0]["y"]) == PLACES["button"]
    limit = 2 * found["distance"]
    found = ask(ignore=BOXES[1:], candidate=str(pages[2]), threshold=limit, gate="worst")["result"]
    assert found["above"]
    assert found["gate"] == "worst"
    assert ask(ignore=["1"])["error"]["kind"] == "usage"


def test_assert_similar(universal, pages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, later, changed = pages
    how = {"metric": universal, "ignore": BOXES}
    assert assert_similar(later, first, threshold=0.0, **how).identical
    distance = universal.compare(first, changed, ignore=BOXES).distance
    assert_similar(changed, first, threshold=2 * distance, **how)
    with pytest.raises(AssertionError, match=r"region 1: .* 12x12 at 300,420") as failure:
        assert_similar(changed, first, threshold=2 * distance, gate="worst", **how)
    assert "in its worst region, though not as a whole" in str(failure.value)
    with pytest.raises(AssertionError, match="region 1: "):
        assert_similar(changed, first, threshold=0.0, **how)
    with pytest.raises(UsageError, match="unknown gate 'best': expected whole or worst"):
        assert_similar(changed, first, threshold=0.0, gate="best", **how)
