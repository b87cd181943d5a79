"""The one TOML file: frozen models, loading, secrets, first run and schema."""
