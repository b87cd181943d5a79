"""Commands of `atp-console` that talk to a running engine or run by themselves; one module each."""
