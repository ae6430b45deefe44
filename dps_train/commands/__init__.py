"""The commands of ``dps-train``, one file each."""
