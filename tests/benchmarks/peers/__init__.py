"""What others offer for the same work, measured beside ours. All of it is optional."""
