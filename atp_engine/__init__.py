"""The headless engine of ATP Console: routing, admission, recording and the HTTP face.

Started by `atp_console.cli`; it never imports the console. Rooms import downwards only (see the
layers contract in pyproject.toml).
"""
