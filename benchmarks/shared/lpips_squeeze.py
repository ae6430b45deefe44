"""The `lpips` package's SqueezeNet metric, as its own script runs it: a pair of files at a time.

``python -m benchmarks.shared.lpips_squeeze TRUNK A.png B.png`` compares one pair. Importing this
module loads nothing but the standard library, so that a fresh process pays for `lpips` alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

Paths = Iterable[tuple[Path, Path]]


def lpips_squeeze(trunk: Path, threads: int = 1) -> Callable[[Paths], None]:
    """Return a function that scores pairs of files. Its linear layers are random.

    Args:
        trunk: weights of SqueezeNet 1.1 (safetensors, torchvision's names).
        threads: of the processor.
    """
    import lpips
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        # It calls torchvision in a deprecated way.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        metric = lpips.LPIPS(net="squeeze", pretrained=False, pnet_rand=True, verbose=False)
    loaded = {
        ".".join(key.split(".")[1:]): value
        for key, value in load_file(trunk).items()
        if key.startswith("features.")
    }
    state = metric.net.state_dict()
    # Its slices keep torchvision's numbers: slice1.0.weight is features.0.weight.
    metric.net.load_state_dict({key: loaded[key.partition(".")[2]] for key in state})

    def run(paths: Paths) -> None:
        with torch.no_grad():
            for pair in paths:
                first, second = (lpips.im2tensor(lpips.load_image(str(path))) for path in pair)
                metric(first, second).item()

    return run


def main() -> None:
    """Compare the pair on the command line on two threads, `wall_time`'s number."""
    trunk, first, second = map(Path, sys.argv[1:])
    lpips_squeeze(trunk, threads=2)([(first, second)])


if __name__ == "__main__":
    main()
