"""Answers the requests of the other rooms: one handler for each request of libs/model/requests.py."""
