"""The commands of the light client."""
