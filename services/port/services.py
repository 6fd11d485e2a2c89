"""The services that can be asked for by name: each is one entry beside the conversation that it has. Pure."""

from services.port.conversation import Entry
from services.port.conversations import (
    brokers,
    chat,
    clocks,
    databases,
    desktops,
    directories,
    documents,
    files,
    games,
    lookups,
    mail,
    shells,
    voice,
)

SERVICES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *shells.SERVICES,
        *mail.SERVICES,
        *files.SERVICES,
        *desktops.SERVICES,
        *voice.SERVICES,
        *games.SERVICES,
        *databases.SERVICES,
        *documents.SERVICES,
        *brokers.SERVICES,
        *directories.SERVICES,
        *lookups.SERVICES,
        *clocks.SERVICES,
        *chat.SERVICES,
    )
}
