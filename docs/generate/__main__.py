"""`python -m docs.generate` writes the reference from the code."""

from docs.generate.pages import write_pages

if __name__ == "__main__":
    for path, text in write_pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
