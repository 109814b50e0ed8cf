"""adapt: the load of models, smoothed over a window (Faust)."""
