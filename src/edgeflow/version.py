"""The version of this package; a page and its workers must run the same."""

VERSION: str = '0.1.0'
