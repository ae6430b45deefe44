"""Published sets of scores: tiny ones in the layout of each, made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from train_helpers import photos

from dps_infer.errors import DataError, UsageError
from dps_train.agreement.scores.read import own_file, read_scores


def image(path: Path, seed: int = 0) -> None:
    """Write a small image in the format of its suffix, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), photos(1, 16, 20, seed)[0].numpy())


def tid2013(folder: Path) -> None:
    lines = []
    # In the published set the case of names varies, and the last reference is in lower case.
    for reference, distorted in (("I01.BMP", "I01"), ("i25.bmp", "i25")):
        image(folder / "reference_images" / reference)
        for kind, level in (("01", 1), ("01", 5), ("24", 3)):
            image(folder / "distorted_images" / f"{distorted.lower()}_{kind}_{level}.bmp")
            lines.append(f"{6 - level:.5f} {distorted}_{kind}_{level}.bmp\n")
    (folder / "mos_with_names.txt").write_text("".join(lines))


def kadid10k(folder: Path) -> None:
    lines = ["dist_img,ref_img,dmos,var\n"]
    for reference in ("I01", "I81"):
        image(folder / "images" / f"{reference}.png")
        for kind, level in (("01", 1), ("01", 5), ("25", 3)):
            name = f"{reference}_{kind}_0{level}.png"
            image(folder / "images" / name)
            lines.append(f"{name},{reference}.png,{6 - level}.00,0.5\n")
    (folder / "dmos.csv").write_text("".join(lines))


def csiq(folder: Path, delimiter: str = ",") -> None:
    # As a spreadsheet program exports the sheet: rows and columns before the table.
    rows = [
        ["", "", "", "", "", "", "", "", ""],
        ["", "", "", "image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"],
    ]
    kinds = (("noise", "AWGN", 1), ("noise", "AWGN", 5), ("jpeg 2000", "jpeg2000", 3))
    for reference in ("1600", "aerial_city"):
        image(folder / "src_imgs" / f"{reference}.png")
        for kind, tag, level in kinds:
            image(folder / "dst_imgs" / tag.lower() / f"{reference}.{tag}.{level}.png")
            cells = ["", "", "", reference, "1", kind, str(level), "0.05", f"{level / 6:.3f}"]
            rows.append(cells)
    rows.append([""] * 9)
    suffix = "csv" if delimiter == "," else "txt"
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    (folder / f"csiq.DMOS.{suffix}").write_text(text)


def cid22(folder: Path) -> None:
    lines = ["reference_img,distorted_img,encoder,setting,bpp,MCOS,RMOS,Elo,nb_pc_opinions\n"]
    for number in (1, 2):
        original = f"original/{number}.png"
        image(folder / original)
        lines.append(f"{original},{original},Reference,,8,97.5,90,2400,12\n")
        for encoder, level in (("JPEG", 1), ("JPEG", 5), ("AVIF_aom_s7", 3)):
            name = f"compressed/{number}/{encoder}_{level}.png"
            image(folder / name)
            lines.append(f"{original},{name},{encoder},q{level},0.5,{60 - level}.1,1,2000,9\n")
    (folder / "CID22_validation_set.csv").write_text("".join(lines))


def pipal(folder: Path) -> None:
    (folder / "Train_Label").mkdir(parents=True)
    for part, reference in ((1, "A0001"), (4, "A0199")):
        image(folder / "Train_Ref" / f"{reference}.bmp")
        lines = []
        for kind, level in (("00", 1), ("00", 5), ("06", 3)):
            name = f"{reference}_{kind}_0{level}.bmp"
            image(folder / f"Distortion_{part}" / name)
            lines.append(f"{name},{1500 - level}.0648\n")
        (folder / "Train_Label" / f"{reference}.txt").write_text("".join(lines))


SETS: dict[str, tuple[Callable[[Path], None], bool, tuple[str, str]]] = {
    "TID2013": (tid2013, True, ("01", "24")),
    "KADID-10k": (kadid10k, True, ("01", "25")),
    "CSIQ": (csiq, False, ("noise", "jpeg 2000")),
    "CID22": (cid22, True, ("JPEG", "AVIF_aom_s7")),
    "PIPAL": (pipal, True, ("00", "06")),
}
"""The function that writes each set, whether higher is better in it, and its kinds."""


@pytest.mark.parametrize("name", SETS)
def test_a_set_in_the_published_layout_is_read(name, tmp_path):
    make, higher, (first, second) = SETS[name]
    make(tmp_path / "set")
    pairs = read_scores(tmp_path / "set")
    assert pairs.source == "set"
    assert pairs.higher_is_better is higher
    assert pairs.kinds == (first, first, second) * 2
    np.testing.assert_array_equal(pairs.groups, [0, 0, 0, 1, 1, 1])
    # Whichever the direction, level 5 is more different than level 3, and that than level 1.
    for some in (pairs.dissimilarity[:3], pairs.dissimilarity[3:]):
        assert list(np.argsort(some)) == [0, 2, 1]
    for reference, candidate in zip(pairs.references, pairs.candidates, strict=True):
        stem = reference.stem.lower()
        assert stem in str(candidate).lower()
        assert candidate.is_file()
    assert not own_file(tmp_path / "set")


@pytest.mark.parametrize("name", SETS)
def test_missing_images_and_scores_that_are_none_are_told_of_with_their_rows(name, tmp_path):
    make, _, _ = SETS[name]
    make(tmp_path)
    whole = read_scores(tmp_path)
    whole.candidates[1].unlink()
    whole.references[3].unlink()
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path)
    candidate, *references = caught.value.problems
    assert "candidate" in candidate
    assert "no such file" in candidate
    assert len(references) == 3
    assert all("reference" in line and "no such file" in line for line in references)


def test_text_for_numbers_is_told_of(tmp_path):
    kadid10k(tmp_path)
    path = tmp_path / "dmos.csv"
    path.write_text(path.read_text().replace("5.00", "five"))
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path)
    assert caught.value.problems == (
        f"{path} row 2: dmos is 'five': expected a number",
        f"{path} row 5: dmos is 'five': expected a number",
    )


@pytest.mark.parametrize(("make", "file"), [(tid2013, "mos_with_names.txt"), (pipal, "A0001.txt")])
def test_lines_that_are_something_else_are_told_of(make, file, tmp_path):
    make(tmp_path)
    (path,) = tmp_path.rglob(file)
    path.write_text(path.read_text() + "something else\n")
    with pytest.raises(DataError, match=r"row \d+: is 'something else': expected"):
        read_scores(tmp_path)


def test_csiq_separated_by_tabs_is_the_same(tmp_path):
    csiq(tmp_path / "commas")
    csiq(tmp_path / "tabs", "\t")
    assert read_scores(tmp_path / "tabs").sha256() == read_scores(tmp_path / "commas").sha256()


def test_csiq_as_a_workbook_is_refused_with_what_to_do(tmp_path):
    csiq(tmp_path)
    (tmp_path / "csiq.DMOS.csv").rename(tmp_path / "csiq.DMOS.xlsx")
    with pytest.raises(UsageError, match=r"save its sheet all_by_image as csiq\.DMOS\.csv"):
        read_scores(tmp_path)


def test_a_kind_that_csiq_has_not_is_told_of(tmp_path):
    csiq(tmp_path)
    path = tmp_path / "csiq.DMOS.csv"
    path.write_text(path.read_text().replace("jpeg 2000", "jpeg xl"))
    with pytest.raises(DataError, match="dst_type is 'jpeg xl': expected one of noise, blur"):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    ("make", "part", "message"),
    [
        (tid2013, "distorted_images", "read as TID2013, but lacks the folder distorted_images"),
        (kadid10k, "images", "read as KADID-10k, but lacks the folder images"),
        (csiq, "src_imgs", "read as CSIQ, but lacks the folder src_imgs"),
        (pipal, "Train_Ref", "read as PIPAL, but lacks the folder Train_Ref"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_with_its_name(make, part, message, tmp_path):
    make(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=message):
        read_scores(tmp_path)


def test_pipal_without_distorted_images_is_refused(tmp_path):
    pipal(tmp_path)
    for number in (1, 4):
        (tmp_path / f"Distortion_{number}").rename(tmp_path / f"elsewhere_{number}")
    with pytest.raises(UsageError, match=r"lacks a folder Distortion\*"):
        read_scores(tmp_path)


def test_the_file_that_tells_a_layout_may_be_named_instead_of_its_folder(tmp_path):
    tid2013(tmp_path)
    assert len(read_scores(tmp_path / "mos_with_names.txt")) == 6
