"""lookup: the stateful processor: the poll-fold-send loop, the commit, the restore, its reports and metrics."""
