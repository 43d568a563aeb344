"""Sockets of clients, held by a server and heard by an actor that may sleep.

    socket.py     what an actor's hooks get, and `self.sockets`
    rows.py       what an actor keeps of them, in its own database
    servers.py    who holds them
    events.py     what a server tells an actor, and how the actor is told

A server holds the connection. The actor has a row for it: who it is, tags, an attachment. An idle
socket keeps no actor awake; a message wakes it, and when it wrote a row for a socket whose
server is no more, it is told at its next start.
"""
