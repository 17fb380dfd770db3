"""The parts of bench/load and bench/micro. Python's standard library only."""
