"""What outlives the queue, in Postgres: dead letters, jobs over HTTP, batch jobs.

It knows neither Celery nor Paddle, nor the galleries whose database it shares.
"""
