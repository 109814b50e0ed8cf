"""`refrain schemas`: the contract in files, for programs in other languages and for editors."""
