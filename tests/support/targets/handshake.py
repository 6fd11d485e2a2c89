"""A TLS handshake in memory, between a server's context and our own session."""

import contextlib
import ssl

from libs.net.tls.sessions import TlsSession


def shaken(session: TlsSession, server: ssl.SSLContext) -> ssl.SSLError | None:
    """Takes the handshake to its end; returns how it ended if it ended badly."""
    theirs_in, theirs_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(theirs_in, theirs_out, server_side=True)
    try:
        while not session.do_handshake():
            theirs_in.write(session.outgoing())
            with contextlib.suppress(ssl.SSLWantReadError):
                theirs.do_handshake()
            session.feed(theirs_out.read())
    except ssl.SSLError as error:
        return error
    return None
