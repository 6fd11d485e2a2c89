"""The native API and the compatible APIs, one package each."""
