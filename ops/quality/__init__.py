"""Quality of hits: `refrain evaluate` and `refrain calibrate`."""
