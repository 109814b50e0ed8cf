"""How right hits are: `evaluate` and `calibrate`."""
