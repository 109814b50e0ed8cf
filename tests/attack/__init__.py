"""Attacks on a running Refrain: what outsiders and holders of one right send, and what must hold all the while.

`attack` says what an attack is and carries one out, `damage`, `burdens`, `reach`, `words` and `mutations` are the
attacks; `target` writes past every client and sees what becomes of it, `calm` asks good questions meanwhile, `workers`
looks at the processes, `leaks` looks for words where they must not be. `python -m tests.attack --help`.
"""
