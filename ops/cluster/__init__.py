"""How a command reaches the cluster and reads its topics."""
