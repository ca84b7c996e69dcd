"""Operators that few published models have."""
