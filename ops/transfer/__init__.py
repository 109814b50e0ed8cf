"""Export and import: ranges of the journal, or kept entries, to and from files of JSON lines."""
