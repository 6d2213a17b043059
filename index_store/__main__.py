"""`python -m index_store`: galleries by hand."""

from admin.galleries import gallery

if __name__ == "__main__":
    gallery(prog_name="python -m index_store")
