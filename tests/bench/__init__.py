"""Side-by-side figures against real peers, made in one run: `make bench` (not part of the tests)."""
