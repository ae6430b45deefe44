"""The metric as a loss to train image models with, and as a metric of torchmetrics."""

from dps_train.loss.perceptual_loss import PerceptualLoss as PerceptualLoss

__all__ = ["PerceptualLoss"]
