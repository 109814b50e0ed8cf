"""What every command shares on a terminal: options, output, exit codes, durations."""
