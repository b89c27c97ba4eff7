"""The daemon: the one place that knows every unit and puts them together."""
