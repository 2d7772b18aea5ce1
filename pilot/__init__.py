"""The pilot: runs at a site, asks for jobs, runs them and reports; standard library only, Python 3.6 and later."""

__version__ = "0.1.0"
