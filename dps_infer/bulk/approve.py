"""Take over candidates as new references: those that are new, or did not pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dps_infer.bulk.folder import PairScore
from dps_infer.bulk.folder_pairs import FolderPair
from dps_infer.errors import DataError, ImageError, UsageError
from dps_infer.files.globs import compile_globs
from dps_infer.files.read import read_bytes
from dps_infer.files.write import atomic_file
from dps_infer.images.decode import MAX_FILE_BYTES, load_picture
from dps_infer.images.headers import read_header


class Approvals:
    """The candidates that a user approves of; the names choose, and the results decide.

    Args:
        folder: the folder of the references.
        references: all of them, whether they exist or not.
        globs: of the files to take over (`dps_infer.files.globs`), from `folder` on: ``a.png`` is
            the file in that folder, and no other of that name.
        everything: take over all files instead.

    Raises:
        UsageError: a glob is not valid or matches no file, or both options are given.

    Attributes:
        found: the pairs whose candidates are taken over.
    """

    def __init__(
        self,
        folder: Path,
        references: Sequence[Path],
        globs: Sequence[str] = (),
        *,
        everything: bool = False,
    ) -> None:
        if globs and everything:
            raise UsageError("--approve names some files and --approve-all takes all: give one")
        self.found: list[PairScore] = []
        self._folder = folder
        self._above = 0
        # Globs of rules match the end of a path, which could take over more than was meant.
        self._pattern = compile_globs(["**"] if everything else globs, rooted=True)
        self._wanted = everything or bool(globs)
        names = [self._name(path) for path in references] if globs else []
        for glob in globs:
            if not any(map(compile_globs([glob], rooted=True).fullmatch, names)):
                raise UsageError(
                    f"--approve {glob}: no file of this name is compared, expected one relative to "
                    f"{folder}, or a glob like **/{glob}"
                )

    @property
    def errors(self) -> int:
        """Number of pairs among `found` that could not be compared."""
        return sum(bool(scored.error) for scored in self.found)

    @property
    def above_left(self) -> int:
        """Number of pairs above a threshold that are not among `found`."""
        return self._above - (len(self.found) - self.errors)

    def note(self, scored: PairScore) -> None:
        """Count a pair, and keep it if its candidate is to be taken over."""
        self._above += scored.above
        if self._wanted and self._pattern.fullmatch(self._name(scored.pair.reference)):
            self.found += [scored] if can_approve(scored) else []

    def take_over(self) -> None:
        """Copy the candidates over their references; see `approve`."""
        approve([scored.pair for scored in self.found])

    def lines(self) -> list[str]:
        """Return a line for each reference that was replaced, or is new."""
        if self._wanted and not self.found:
            return ["nothing approved: what was named passed already, or cannot be read"]
        return [f"approved: {scored.pair.reference} ({_reason(scored)})" for scored in self.found]

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _reason(scored: PairScore) -> str:
    if scored.pair.missing:
        return "new"
    return "could not be compared" if scored.error else "above its threshold"


def can_approve(scored: PairScore) -> bool:
    """Return whether a candidate can be taken over.

    It is above a threshold; or an image whose reference is missing, damaged, or of another size.
    """
    if not scored.error:
        return scored.above
    candidate, reference = _size(scored.pair.candidate), _size(scored.pair.reference)
    return candidate is not None and candidate != reference


def _size(path: Path) -> tuple[int, int] | None:
    """Return the size of an image; None if there is none that can be read."""
    try:
        return load_picture(path, label=path.name).size
    except ImageError:
        return None


def approve(pairs: Sequence[FolderPair]) -> None:
    """Copy candidates over their references, byte by byte; each appears whole.

    Nothing is written if any of them is refused.

    Raises:
        DataError: a candidate has another file type than its reference, whose name would be wrong
            from then on; or it is no image any more. With a line for each.
        OutputError: a reference cannot be written.
    """
    problems = [problem for pair in pairs if (problem := _problem(pair))]
    if problems:
        raise DataError(problems)
    for pair in pairs:
        with atomic_file(pair.reference, force=True) as temporary:
            temporary.write_bytes(_read(pair.candidate))


def _problem(pair: FolderPair) -> str:
    """Return why a candidate cannot be taken over, in one line; empty if it can."""
    try:
        new = _format(pair.candidate)
    except ImageError as error:
        return str(error)
    try:
        old = _format(pair.reference)
    except ImageError:  # there is none, or it is damaged
        return ""
    if new == old:
        return ""
    return (
        f"{pair.reference}: is a {old} image and its candidate {pair.candidate} a {new} image: "
        "convert the candidate, or remove the reference first"
    )


def _format(path: Path) -> str:
    data = _read(path)
    try:
        return read_header(data).format
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _read(path: Path) -> bytes:
    return read_bytes(
        path, expected="an image", limit=MAX_FILE_BYTES, error=ImageError, regular=True
    )
