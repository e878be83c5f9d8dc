"""The door and the book of all intents: takes raw messages in, shows them, records their end."""
