"""Local runs behind `infra/up`, `infra/bench` and `infra/faults`: `python -m infra.local.up` and the like."""
