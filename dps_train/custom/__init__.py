"""Custom distortions: functions, or images before and after a change that was made elsewhere.

    from dps_train.custom import distortion

    @distortion(unit="grain, in gray levels", range=(4, 32), threshold=1, reference=16)
    def grain(pixels, strength, rng):
        noise = rng.normal(0, strength, pixels.shape)
        return (pixels + noise).clip(0, 255).astype("uint8")

    dps-train --distortions my_module --ranking color,grain,blur

docs/custom-distortions.md shows one of each kind from start to end.
"""

from dps_train.custom.function import distortion as distortion
