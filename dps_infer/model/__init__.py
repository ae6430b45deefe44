"""Context files: manifest, contract, calibration, and the embedded one."""
