"""Galleries of embeddings: Postgres is the truth, FAISS files are rebuildable caches.

Start at `index_store.store.GalleryStore`. Importing the package itself loads neither FAISS nor SQLAlchemy.
"""
