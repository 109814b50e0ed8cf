"""An audit that knows nothing of Refrain but its contract."""
