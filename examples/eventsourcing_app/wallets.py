"""An ordinary ``eventsourcing`` application on JetStream, with compressed and encrypted events.

    NATS_URL=nats://127.0.0.1:4222 python -m examples.eventsourcing_app.wallets

Nothing here knows NATS: the settings in ``environment`` choose the persistence module. What the
server stores can be looked at with ``nats sub 'es.Wallets.>'``: the topics can be read, the
state is ``data_base64`` and needs the key.
"""

import os
import sys
import zlib
from collections.abc import Mapping
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.cipher import AESCipher
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.projection import Projection, ProjectionRunner

from infra.eventsourcing_jetstream import JetStreamTrackingRecorder

ATTEMPTS = 10


class Overdrawn(ValueError):
    """The wallet does not hold that much."""


class Wallet(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = Decimal(0)

    @staticmethod
    def create_id(owner: str) -> UUID:
        """The same for the same owner: nobody can open two."""
        return uuid5(NAMESPACE_URL, f"/wallets/{owner}")

    class PaidIn(Aggregate.Event):
        amount: Decimal

    @event(PaidIn)
    def pay_in(self, amount: Decimal) -> None:
        self.balance += amount

    @event("PaidOut")
    def pay_out(self, amount: Decimal) -> None:
        if amount > self.balance:
            raise Overdrawn(f"{self.owner} has {self.balance}, not {amount}")
        self.balance -= amount


class Wallets(Application[UUID]):
    """Commands may run in any number of processes; of two at once one is tried again."""

    snapshotting_intervals = {Wallet: 100}  # noqa: RUF012 - as the library has it

    def open(self, owner: str) -> int:
        """Open a wallet; the position of the event, 0 when it is open already."""
        try:
            return self.save(Wallet(owner=owner))[-1].notification.id
        except IntegrityError:
            return 0

    def transfer(self, payer: str, payee: str, amount: Decimal) -> int:
        """Move money in one step: both wallets change or neither.

        Raises:
            Overdrawn: the payer does not hold that much.
            AggregateNotFoundError: one of them has no wallet.
            IntegrityError: others were quicker each time.
        """
        for attempt in range(ATTEMPTS):
            source, target = self._get(payer), self._get(payee)
            source.pay_out(amount)
            target.pay_in(amount)
            try:
                return self.save(source, target)[-1].notification.id
            except IntegrityError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError

    def pay_in(self, owner: str, amount: Decimal) -> int:
        """Put money into a wallet; the position of the event."""
        wallet = self._get(owner)
        wallet.pay_in(amount)
        return self.save(wallet)[-1].notification.id

    def balance(self, owner: str) -> Decimal:
        return self._get(owner).balance

    def _get(self, owner: str) -> Wallet:
        wallet: Wallet = self.repository.get(Wallet.create_id(owner))
        return wallet


class TurnoverView(JetStreamTrackingRecorder):
    """How much has ever been paid in: one value, changed in one step with the position."""

    def turnover(self) -> Decimal:
        return Decimal((self.value("turnover") or b"0").decode())

    def add(self, amount: Decimal, tracking: Tracking) -> None:
        def more(values: Mapping[str, bytes | None]) -> dict[str, bytes]:
            before = Decimal((values["turnover"] or b"0").decode())
            return {"turnover": str(before + amount).encode()}

        self.insert_tracking(tracking, ("turnover",), more)


class Turnover(Projection[TurnoverView]):
    """Follows the wallets; after a restart it goes on where the view stands."""

    @singledispatchmethod
    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: Wallet.PaidIn, tracking: Tracking) -> None:
        self.view.add(domain_event.amount, tracking)


def environment(url: str, key: str) -> dict[str, str]:
    """The settings: where to store, and how (compressed first, then encrypted)."""
    return {
        "PERSISTENCE_MODULE": "infra.eventsourcing_jetstream",
        "NATS_URL": url,
        "COMPRESSOR_TOPIC": zlib.__name__,
        "CIPHER_TOPIC": "eventsourcing.cipher:AESCipher",
        "CIPHER_KEY": key,
    }


def main() -> None:
    key = os.environ.get("CIPHER_KEY")
    if not key:
        key = AESCipher.create_key(16)
        sys.stdout.write(f"keep this to read the events again: CIPHER_KEY={key}\n")
    env = environment(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), key)
    with ProjectionRunner(
        application_class=Wallets, projection_class=Turnover, view_class=TurnoverView, env=env
    ) as runner:
        wallets = runner.app
        for owner in ("ada", "grace"):
            wallets.open(owner)
        wallets.pay_in("ada", Decimal("10.00"))
        position = wallets.transfer("ada", "grace", Decimal("2.50"))
        runner.wait(position, timeout=10)
        sys.stdout.write(f"ada {wallets.balance('ada')}, grace {wallets.balance('grace')}\n")
        sys.stdout.write(f"paid in so far: {runner.view.turnover()}\n")


__all__ = ["AggregateNotFoundError", "Overdrawn", "Turnover", "TurnoverView", "Wallet", "Wallets"]

if __name__ == "__main__":
    main()
