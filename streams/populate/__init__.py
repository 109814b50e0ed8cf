"""populate: completions on their way back, to the shard that asked, or to the requester."""
