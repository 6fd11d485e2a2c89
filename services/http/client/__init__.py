"""HTTP/1.1 and HTTP/2 client protocol, without sockets."""
