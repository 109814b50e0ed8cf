"""Read-only views: `watch`, `stats`, `doctor`."""
