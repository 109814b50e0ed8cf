"""One module a journal event; `room` makes room for an answer."""
