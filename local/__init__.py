"""One machine, no servers installed: Valkey, Postgres, Flower and workers as supervised child processes."""
