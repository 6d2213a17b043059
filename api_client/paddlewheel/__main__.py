"""`python -m paddlewheel`: the command line where its script is not installed, as in the image."""

from paddlewheel.cli import main

if __name__ == "__main__":
    main(prog_name="paddlewheel")
