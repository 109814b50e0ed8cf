"""The Python behind `infra/up`, `infra/bench` and `infra/faults`."""
