"""Every command that an operator types: on the database, the files, the models and the queue of a server.

`paddlewheel` finds these groups by name when one of them is called; nothing imports this package.
"""
