"""Plain versions of what the project does fast: what the benchmarks compare with."""
