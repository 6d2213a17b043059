"""How Celery runs in a worker: the app, its transport and result store, and the steps of its consumer."""
