"""Registry of the services that a spec can name, collected from the modules of `protocols`. Pure."""

from services.port.protocol_api import ServiceDefinition
from services.port.protocols import (
    brokers,
    chat,
    databases,
    dns,
    ftp,
    games,
    ldap,
    mail,
    mongodb,
    ntp,
    remote_desktop,
    sip,
    ssh,
)

SERVICES: dict[str, ServiceDefinition] = {
    entry.name: entry
    for entry in (
        *ssh.SERVICES,
        *mail.SERVICES,
        *ftp.SERVICES,
        *remote_desktop.SERVICES,
        *sip.SERVICES,
        *games.SERVICES,
        *databases.SERVICES,
        *mongodb.SERVICES,
        *brokers.SERVICES,
        *ldap.SERVICES,
        *dns.SERVICES,
        *ntp.SERVICES,
        *chat.SERVICES,
    )
}
