"""The bundled recipes, one TOML file a run."""
