"""Terminal parts that every command shares: options, output, exit codes, durations."""
