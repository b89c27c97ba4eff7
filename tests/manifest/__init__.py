"""Tests of the capability language."""
