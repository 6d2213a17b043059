"""`python -m api_client`: the command line where its script is not installed, as in the image."""

from api_client.cli import main

main(prog_name="paddlewheel")
