"""Other kinds of change than the six distortions; a metric reports them as `other`.

Every change takes float RGB images [N, 3, H, W] in [0, 1], strengths [N] in [0, 1] (0 = no
change) and a generator, and returns a new batch.
"""
