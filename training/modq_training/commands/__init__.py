"""The commands of ``modq`` that need the training packages, one module each."""
