"""Custom distortions: functions, recordings, and where they are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from train_helpers import pair_metric, photos, seeded

from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import KINDS, OTHER, SIZE
from dps_infer.errors import DataError, UsageError
from dps_train.contexts import pair_table, random_rankings
from dps_train.custom import distortion
from dps_train.custom.contact_sheet import custom_sheet
from dps_train.custom.custom_distortion import (
    CustomDistortion,
    all_distortions,
    split_custom,
    with_scenes,
)
from dps_train.custom.families import CUSTOM_FAMILY_SIZE, draw_custom_family
from dps_train.custom.find import find_custom
from dps_train.custom.read_recording import read_recording
from dps_train.custom.recording import recorded_distortion
from dps_train.data.crops import random_crops, resize_images
from dps_train.data.sources import load_folder
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import NAMES
from dps_train.fit.extend_head import extend
from dps_train.fit.presence.bank import Collection, measured_pairs
from dps_train.fit.presence.loss import z_of
from dps_train.measure.statistics import spearman, two_afc
from dps_train.model.feature_distances import FeatureDistances

MODULE = """
import numpy as np
from dps_train.custom import distortion

@distortion(unit="levels", range=(4, 32), threshold=1, reference=16)
def grain(pixels, strength, rng):
    noise = rng.normal(0, strength, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)
"""


@distortion(unit="levels", range=(4, 32), threshold=1, reference=16)
def lighten(pixels, strength):
    return np.minimum(pixels.astype(int) + round(strength), 255).astype(np.uint8)


@pytest.fixture
def images() -> torch.Tensor:
    return resize_images([image.numpy() for image in photos(6, 70, 80)], 64)


# --- functions ------------------------------------------------------------------------


def test_a_function_becomes_a_distortion(images):
    parameters = lighten.sample(len(images), seeded())
    assert ((parameters[:, 0] >= 4) & (parameters[:, 0] <= 32)).all()
    assert torch.equal(parameters, lighten.sample(len(images), seeded()))
    changed = lighten.apply(images, parameters)
    expected = (images * 255).round() + parameters[:, 0].round()[:, None, None, None]
    torch.testing.assert_close(changed * 255, expected.clamp(max=255))
    amounts = lighten.amount(torch.tensor([[0.0, 0.5], [16.0, 0.5]]))
    assert amounts.tolist() == [0, 1]


def test_strength_0_changes_nothing_and_a_generator_repeats_itself(images):
    @distortion(unit="levels", range=(4, 32), threshold=1, reference=16)
    def grain(pixels, strength, rng):
        assert strength > 0
        return np.where(rng.random(pixels.shape) < 0.5, pixels, 255 - pixels).astype(np.uint8)

    parameters = torch.tensor([[0.0, 0.3], [8.0, 0.3], [8.0, 0.3], [8.0, 0.4]])
    same = images[:1].expand(4, -1, -1, -1)
    none, one, two, other = grain.apply(same, parameters)
    torch.testing.assert_close(none, images[0])
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "blur"}, "there is a distortion called blur already"),
        ({"name": "other"}, "there is a distortion called other"),
        ({"name": "My Own"}, "is not a valid name"),
        ({"threshold": 0}, "its threshold is 0"),
        ({"reference": 0.5}, "threshold not above the reference"),
        ({"range": (8, 4)}, "expected the range to rise"),
        ({"limit": 20}, "limit 20"),
        ({"range": (4, float("nan"))}, "is nan"),
    ],
)
def test_what_contradicts_itself_is_refused(changed, message):
    about = {"name": "mine", "unit": "", "range": (4, 32), "threshold": 1, "reference": 16}
    about |= changed
    with pytest.raises(UsageError, match=message):
        distortion(**about)(lambda pixels, strength: pixels)


def raising(pixels, strength):
    raise ZeroDivisionError("oh dear")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raising, "ZeroDivisionError: oh dear"),
        (lambda pixels, strength: pixels[:-1], "expected the same shape and type"),
        (lambda pixels, strength: pixels / 255, "float64"),
        (lambda pixels, strength: None, "object"),
    ],
)
def test_a_function_that_fails_is_named_in_one_line(images, function, message):
    mine = distortion(unit="", range=(1, 2), threshold=1, reference=1, name="mine")(function)
    with pytest.raises(UsageError, match=f"distortion mine .*{message}") as caught:
        mine.apply(images, torch.full((len(images), 2), 0.5))
    assert "\n" not in str(caught.value)


# --- where they are found -------------------------------------------------------------


def test_a_module_a_file_and_an_installed_name_are_found(tmp_path, monkeypatch):
    (tmp_path / "grainy_module.py").write_text(MODULE)
    package = tmp_path / "grainy-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: grainy\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[dps_train.distortions]\ngrain = grainy_module:grain\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for spec in ("grainy_module", str(tmp_path / "grainy_module.py"), "grain"):
        (custom,) = find_custom([spec])
        assert custom.name == "grain"
    assert [custom.name for custom in find_custom([], "grain,blur")] == ["grain"]
    assert find_custom([], "color,blur") == ()
    assert [custom.name for custom in find_custom([], with_installed=True)] == ["grain"]
    with pytest.raises(UsageError, match="2 distortions are called grain"):
        find_custom(["grainy_module", "grain"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has no distortion"),
        ("def (", "SyntaxError"),
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
        (MODULE.replace("noise = ", "noise = 0 * "), "grain changes nothing at strength 32"),
        (MODULE.replace("rng.normal", "np.random.normal"), "another image each time"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_module_that_does_not_do_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        find_custom([str(path)])
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said():
    with pytest.raises(UsageError, match="there is no module, file or installed distortion"):
        find_custom(["no_such_module_at_all"])
    with pytest.raises(UsageError, match=r"there is no file no/such\.py"):
        find_custom(["no/such.py"])


# --- recordings -----------------------------------------------------------


@pytest.fixture
def pairs(tmp_path):
    rows = ["after,strength,before"]
    for number, photo in enumerate(photos(6, 90, 100)):
        image = photo.numpy()
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        for strength in (16, 4, 32):
            after = lighten.apply(
                resize_images([image], 64) * 0 + 0.2, torch.tensor([[strength, 0.0]])
            )
            assert after.shape == (1, 3, 64, 64)
            changed = np.minimum(image.astype(int) + strength, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"{number}-{strength}.png"), changed)
            rows.append(f"{number}-{strength}.png,{strength},{number}.png")
    path = tmp_path / "lighter.csv"
    path.write_text("\ufeff" + "\r\n".join(rows) + "\r\n", encoding="utf-8")
    return path


def test_pairs_are_read_with_what_the_file_beside_them_says(pairs):
    lighter = read_recording(pairs)
    assert lighter.name == "lighter"
    assert (lighter.distortion.threshold, lighter.distortion.reference) == (2, 16)
    assert [scene.strengths for scene in lighter.recording.scenes] == [(4, 16, 32)] * 6
    pairs.with_suffix(".toml").write_text(
        'name = "glow"\nunit = "levels"\nrange = [5, 30]\nthreshold = 3\nreference = 15\n'
    )
    glow = read_recording(pairs).distortion
    assert (glow.name, glow.unit, glow.range) == ("glow", "levels", (5, 30))
    assert (glow.threshold, glow.reference, glow.limit) == (3, 15, 32)
    for text in ("color = 1", 'range = "wide"', "threshold = true", "not toml", 'name = "blur"'):
        pairs.with_suffix(".toml").write_text(text)
        with pytest.raises(UsageError):
            read_recording(pairs)


def test_every_problem_of_a_file_is_told_with_its_row(pairs):
    folder = pairs.parent
    cv2.imwrite(str(folder / "small.png"), np.zeros((5, 5, 3), np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    lines = [
        "before,after,strength",
        "0.png,none.png,1",
        "0.png,small.png,1",
        "0.png,broken.png,1",
        "0.png,0-4.png,-1",
        "0.png,0-4.png,nan",
        "0.png,0-4.png,much",
        "0.png,,1",
        "0.png,0-4.png,1,2",
    ]
    pairs.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_recording(pairs)
    assert [line.split("row ")[1].split(":")[0] for line in caught.value.lines] == [
        *map(str, range(2, 10))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("before,after\n", "the columns are before,after: expected before,after,strength"),
        ("before,after,strength\n", "0 different images before"),
        ("before,after,strength\n0.png,0-4.png,1\n", "1 different images before"),
    ],
)
def test_a_file_with_too_little_is_refused(pairs, text, message):
    pairs.write_text(text)
    with pytest.raises(DataError, match=message):
        read_recording(pairs)


def test_a_recorded_distortion_takes_the_closest_strength(pairs, images):
    (custom,) = find_custom([str(pairs)])
    training, held_out = split_custom([custom], seed=0)
    assert len(training[0].recording.scenes) == 5
    assert len(held_out[0].recording.scenes) == 1
    shown, distortions = with_scenes(images, held_out)
    assert len(shown) == len(images) + 1
    last = distortions[-1]
    parameters = last.with_strength(torch.full((len(shown),), 14.0), torch.zeros(len(shown)))
    assert parameters[:-1].isnan().all()
    assert parameters[-1, 0] == 16
    changed = last.apply(shown, parameters)
    torch.testing.assert_close(changed[:-1], images)
    assert ((changed[-1] - shown[-1]) * 255).round().median() == 16
    assert last.amount(parameters)[-1] == 1


def test_before_and_after_are_cut_alike_and_families_hold_both(pairs):
    (custom,) = find_custom([str(pairs)])
    crops = custom.recording.crops(8, 64, seeded())
    recorded = recorded_distortion(custom.distortion, crops)
    for before, after in zip(crops.before, crops.after, strict=True):
        differences = ((after - before) * 255).round()
        assert differences.flatten(1).median(dim=1).values.tolist() == [4, 16, 32]
    family = draw_custom_family(crops.before, recorded, seeded())
    assert len(family) == CUSTOM_FAMILY_SIZE
    weak, strong = family[0][1], family[1][1]
    assert (weak <= strong).all()
    alone, of_six, both, _ = family[6:]
    assert torch.equal(alone[1], both[1])
    assert not of_six[1].any()
    assert torch.equal(of_six[0].amounts > 0, both[0].amounts > 0)


def test_a_sheet_shows_functions_and_files(pairs):
    custom = find_custom([str(pairs)])
    sheet = custom_sheet(np.zeros((70, 80, 3), np.uint8), custom)
    assert len(all_distortions(custom)) == 7
    assert sheet.shape[0] > custom_sheet(np.zeros((70, 80, 3), np.uint8), ()).shape[0]


# --- the head -------------------------------------------------------------------------


def test_a_head_learns_a_custom_distortion(images_folder):
    """Stripes, which no kind is: quickly, on two images."""

    @distortion(unit="gray levels", range=(20, 90), threshold=4, reference=40)
    def stripes(pixels, strength):
        lines = strength * (-1) ** np.arange(pixels.shape[0])
        return np.clip(pixels + lines[:, None, None], 0, 255).astype(np.uint8)

    metric = pair_metric()
    distances = FeatureDistances(metric, torch.device("cpu"))
    images = load_folder(images_folder).images
    kept = {name: value.clone() for name, value in metric.head.state_dict().items()}
    collection = Collection("own", 6, 64, paper=False)
    ordinary = z_of(metric, measured_pairs(collection, metric, images, 0))
    extended = extend(
        metric.head, [CustomDistortion(stripes)], ordinary, distances, images,
        pairs=40, size=64, epochs=400, generator=seeded(),
    )  # fmt: skip
    assert extended.names == (*KINDS, "stripes", OTHER, SIZE)
    assert all(torch.equal(value, kept[n]) for n, value in extended.older.state_dict().items())
    batch = random_crops(images, 6, 64, seeded(9))
    parameters = stripes.with_strength(torch.full((6,), 60.0), torch.zeros(6))
    shown = quantize(stripes.apply(batch, parameters))
    dark = 0.5 * batch
    with torch.no_grad():
        probabilities = [
            extended.custom_probabilities(z)[0]
            for z in (distances.z(distances.maps(batch), changed) for changed in (shown, dark))
        ]
    assert probabilities[0].median() > 0.7
    assert probabilities[1].median() < 0.3
    # Its typical amount is 1.
    with torch.no_grad():
        amounts = extended.amounts(distances.z(distances.maps(batch), shown))
    assert 0.3 < float(amounts[:, extended.names.index("stripes")].median()) < 3


# --- measures -------------------------------------------------------------------------


def test_rankings_of_more_than_six():
    seven = random_rankings(5040, seeded(), (*NAMES, "jpeg"))
    assert len({context.ranking for context in seven}) == 5040
    assert tuple(seven[0].importances) == (*NAMES, "jpeg", "other")
    names = (*NAMES, "a", "b", "c", "d")
    many = random_rankings(50, seeded(), names)
    assert len({context.ranking for context in many}) == 50
    assert many == random_rankings(50, seeded(), names)
    judged = pair_table([ranking_context((("d",), ("rotate",)), names)])[0]
    assert judged.nonzero().tolist() == [[9, 0]]


def test_images_that_cannot_show_a_distortion_do_not_count():
    distances = torch.rand(1, 3, 4, 5, generator=seeded())
    some = distances.clone()
    some[:, 2, :, 2:] = torch.nan
    judged = torch.ones(1, 3, 3, dtype=torch.bool).triu(1)
    table, whole_table = two_afc(some, judged), two_afc(distances, judged)
    assert table[0, 0, 1] == whole_table[0, 0, 1]
    assert table[0, 0, 2] == two_afc(distances[..., :2], judged)[0, 0, 2]
    some[:, 2] = torch.nan
    assert two_afc(some, judged)[0, 0, 2].isnan()
    series = torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]).T
    strengths = torch.tensor([[1.0, 1.0, 2.0], [5.0, 5.0, 5.0]]).T
    correlation = spearman(series, 0, strengths)
    assert correlation[0] == pytest.approx(3**0.5 / 2)
    assert correlation[1].isnan()
