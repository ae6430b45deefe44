"""The commands of ``dps-infer``, one file each."""
