"""Another process of the same application, told what to do by its arguments.

``race <name> <originator> <versions>``  add each version; print how many were ours, how many lost
``follow <name> <count>``                print each event's position until there were so many
"""

import os
import sys
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from tests.eventsourcing.support import factory


def say(*words: object) -> None:
    """One line that the other side can tell from log lines."""
    sys.stdout.write(" ".join(map(str, ("=", *words))) + "\n")
    sys.stdout.flush()


def main() -> None:
    what, name, *rest = sys.argv[1:]
    with_factory = factory(os.environ, name)
    recorder = with_factory.application_recorder()
    say("ready")
    sys.stdin.readline()
    if what == "race":
        won = lost = 0
        for version in range(1, int(rest[1]) + 1):
            try:
                recorder.insert_events([StoredEvent(UUID(rest[0]), version, "t", b"{}")])
                won += 1
            except IntegrityError:
                lost += 1
        say(won, lost)
    else:
        with recorder.subscribe() as subscription:
            for count, notification in enumerate(subscription, 1):
                say(notification.id)
                if count == int(rest[0]):
                    break
    with_factory.close()


if __name__ == "__main__":
    main()
