"""The commands of ``dps-infer``, one per file."""

NAME = "dps-infer"
