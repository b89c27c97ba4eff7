"""The commands, one module for each noun; `main` puts them together."""
