"""FTP, in the clear, going over to TLS, and inside it."""

from services.port.conversation import Call, Entry, Goodbye, Refusing, Say, StartTls, Talk, shown
from services.port.conversations.replies import reply
from services.port.conversations.upgrades import stays_clear


def ftp(call: Call) -> Talk:
    """RFC 959 section 5.4, RFC 4217 section 4: the greeting, AUTH TLS, QUIT."""
    greeting = yield from reply("FTP")
    call.facts["banner"] = shown(greeting.text)
    if greeting.code != 220:
        raise Refusing(f"The server greets with {greeting.code}", greeting.text)
    if call.starttls == "never" or call.over_tls:
        return Goodbye(b"QUIT\r\n")
    yield Say(b"AUTH TLS\r\n")
    answer = yield from reply("FTP")
    if answer.code == 234:
        yield StartTls()
    else:
        stays_clear(call, answer.text)
    return Goodbye(b"QUIT\r\n")


SERVICES = (
    Entry("ftp", 21, ftp),
    Entry("ftps", 990, ftp, tls=True),
)
