"""What outlives the queue, in Postgres: dead letters.

It knows neither Celery nor Paddle, nor the galleries whose database it shares.
"""
