"""The commands of ``modq`` that need the worker's packages, one module each."""
