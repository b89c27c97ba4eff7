"""The chassis every service stands on; knows no service."""
