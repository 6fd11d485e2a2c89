"""Data types of Vedette and the interface of a probe. Imports msgspec and no other library."""
