"""`python -m api_client`: the command line where its script is not installed, as in the image."""

from api_client.cli import main

if __name__ == "__main__":
    main(prog_name="paddlewheel")
