"""HTTP for Paddlewheel: a producer of tasks like any other."""
