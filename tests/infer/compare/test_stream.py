"""Scoring many pairs: order, errors in their places, and no more work than needed."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from infer_helpers import bomb, encode

from dps_infer.compare import stream
from dps_infer.compare.runner import GraphRunner
from dps_infer.compare.stream import score
from dps_infer.errors import ContextError, ImageError, UsageError
from dps_infer.images.decode import load_picture

# A float32 sum over up to a thousand pixels, in any order.
CLOSE = {"rel": 1e-5, "abs": 1e-7}


@pytest.fixture
def images() -> list[np.ndarray]:
    """Pairs of two sizes."""
    generator = np.random.default_rng(0)
    shapes = [(5 + 3 * (n % 2), 7, 3) for n in range(40)]
    return [generator.integers(0, 256, shape, np.uint8) for shape in shapes]


@pytest.mark.parametrize(("batch_size", "decoders"), [(1, 1), (3, 4), (16, 2), (100, 8)])
def test_scores_are_those_of_single_pairs_in_order(universal, images, batch_size, decoders):
    contexts = {"a": universal, "b": universal.in_context(ranking="blur,color")}
    pairs = [(image, 255 - image) for image in images]
    found = list(score(iter(pairs), contexts, batch_size=batch_size, decoders=decoders))
    assert [one.index for one in found] == list(range(len(images)))
    assert not any(one.error for one in found)
    for label, context in contexts.items():
        expected = [context.compare(*pair).distance for pair in pairs]
        assert [one.comparisons[label].distance for one in found] == pytest.approx(
            expected, **CLOSE
        )


def test_bad_pairs_of_every_kind_leave_the_others(context, photo, tmp_path):
    good = encode(".png", photo)
    bad = {
        "no such file": tmp_path / "none.png",
        "is a folder": tmp_path,
        "not an image in a supported format": b"this is text",
        "is empty": b"",
        "damaged": encode(".jpg", photo)[:300] + b"\xff\xd9",
        "the sizes differ": encode(".png", photo[:5].copy()),
        "limit of": bomb(),
        "GIF": b"GIF89a" + bytes(20),
        "expected uint8": photo.astype(float),
        "row 7": ImageError("row 7 is broken\nin two lines"),
    }
    pairs = []
    for value in bad.values():
        pairs += [(good, good), value if isinstance(value, ImageError) else (good, value)]
    found = list(score(pairs, {"": context}, batch_size=4))
    assert len(found) == 2 * len(bad)
    assert all(one.comparisons[""].identical for one in found[::2])
    for one, words in zip(found[1::2], bad, strict=True):
        assert words in one.error
        assert one.comparisons == {}
        assert "\n" not in one.error


def test_a_bad_reference_is_told_for_each_of_its_candidates(context, photo, tmp_path):
    found = list(score([(tmp_path / "none.png", photo)] * 3, {"": context}))
    assert all("none.png: no such file" in one.error for one in found)


def test_neighbours_with_one_reference_decode_it_once(context, photo, tmp_path, monkeypatch):
    references = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, path in enumerate(references):
        path.write_bytes(encode(".png", photo + number))
    decoded: Counter = Counter()
    load = stream.load_picture

    def counting(source, **options):
        decoded[str(source) if not isinstance(source, np.ndarray) else "candidate"] += 1
        return load(source, **options)

    monkeypatch.setattr(stream, "load_picture", counting)
    pairs = [(str(references[n // 5]), 255 - photo) for n in range(10)]
    found = list(score(pairs, {"": context}, batch_size=4, decoders=1))
    assert decoded == {str(references[0]): 1, str(references[1]): 1, "candidate": 10}
    assert [one.comparisons[""].distance for one in found] == pytest.approx(
        [context.compare(*pair).distance for pair in pairs], **CLOSE
    )


def test_pairs_are_read_only_a_little_ahead(context, photo):
    taken = itertools.count()
    pairs = ((photo, photo) for _ in taken)
    found = score(pairs, {"": context}, batch_size=4)
    for _ in range(100):
        next(found)
    found.close()
    assert next(taken) < 100 + 4 * 4


def test_of_large_images_few_are_held(context, photo, monkeypatch):
    monkeypatch.setattr(stream, "PIXELS_HELD", 2 * photo.shape[0] * photo.shape[1])
    sizes = []
    measure = GraphRunner.measure

    def counting(self, reference, distorted, importances, **options):
        sizes.append(len(distorted))
        return measure(self, reference, distorted, importances, **options)

    monkeypatch.setattr(GraphRunner, "measure", counting)
    taken = itertools.count()
    pairs = ((photo, 255 - photo) for _ in itertools.islice(taken, 40))
    found = score(pairs, {"": context}, batch_size=5)
    for _ in range(21):
        next(found)
    # Two that are run, two ahead, and what was begun before the first size was known.
    assert next(taken) <= 21 + 2 + 2 + 2
    list(found)
    assert sizes[:6] == [2, 2, 1, 2, 2, 1]


def test_a_context_that_fails_on_one_pair_only(context, photo, monkeypatch):
    measure = GraphRunner.measure

    def failing(self, reference, distorted, importances, **options):
        if (distorted == 13).all(axis=(1, 2, 3)).any():
            raise ContextError("does not work on this")
        return measure(self, reference, distorted, importances, **options)

    monkeypatch.setattr(GraphRunner, "measure", failing)
    pairs = [(photo, photo), (photo, np.full_like(photo, 13)), (photo, 255 - photo)]
    found = list(score(pairs, {"": context}))
    assert [one.error for one in found] == ["", "does not work on this", ""]


def test_a_context_that_no_longer_works_stops_the_run(context, photo, monkeypatch):
    def failing(*_, **__):
        raise ContextError("the device is gone")

    monkeypatch.setattr(GraphRunner, "measure", failing)
    with pytest.raises(ContextError, match="gone"):
        list(score([(photo, photo)] * 3, {"": context}))


def test_mistakes_are_told_before_the_first_pair(context):
    pairs = iter(())
    for options in ({"batch_size": 0}, {"decoders": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            score(pairs, {"": context}, **options)
    with pytest.raises(UsageError, match="at least one context"):
        score(pairs, {})


def test_maps_and_resizing(context, photo):
    (one,) = score([(photo, photo[:12])], {"": context}, resize=True, with_map=True)
    assert one.comparisons[""].map is not None
    assert "resized" in one.comparisons[""].notes[0]


def test_warnings_of_the_decoder_stay_with_their_image(photo, capfd):
    side = cv2.resize(photo, (200, 200))
    good, png = encode(".jpg", side), encode(".png", side)
    cut = good[: len(good) // 2] + b"\xff\xd9"
    data = [cut if n % 9 == 0 else (good, png)[n % 2] for n in range(200)]

    def refused(image: bytes) -> bool:
        try:
            return load_picture(image, label="image").notes != ()
        except ImageError as error:
            return "premature end" in str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(refused, data))
    assert found == [one is cut for one in data]
    assert capfd.readouterr().err == ""
