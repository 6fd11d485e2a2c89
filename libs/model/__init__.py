"""The nouns of Vedette and the contract of a probe. Imports msgspec and nothing else."""
