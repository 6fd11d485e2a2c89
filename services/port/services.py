"""The services that can be asked for by name: each is one entry beside the conversation that it has. Pure."""

from services.port.conversation import Entry
from services.port.conversations import shells

SERVICES: dict[str, Entry] = {entry.name: entry for entry in (*shells.SERVICES,)}
