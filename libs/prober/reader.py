"""From a check to the spec that its probe is handed: decoded, with its secrets opened."""

from typing import Any

import msgspec

from libs.model import sealed
from libs.model.check import Check
from libs.model.outcome import Outcome, Reason, Status
from libs.model.sealed import Sealed
from libs.model.spec import SecretPath, Spec
from libs.sealing.sealer import Sealer, UnreadableError


class Reader:
    """Reads the specs of one kind. Secrets are opened here and nowhere else, just before they are used."""

    def __init__(self, spec: type[Spec], sealer: Sealer) -> None:
        self._spec = spec
        self._kind = str(spec.__struct_config__.tag)
        self._sealer = sealer
        self._decode = msgspec.json.Decoder(spec).decode

    def read(self, check: Check) -> Spec | Outcome:
        """Returns the spec, or the outcome of a check whose secrets cannot be opened; ValueError for a bad spec."""
        if sealed.MARK not in bytes(check.spec):
            return self._decode(check.spec)
        try:
            return self._opened(check)
        except UnreadableError as error:
            return Outcome(status=Status.UNKNOWN, reason=Reason.SECRET_UNREADABLE, detail=str(error))

    def _opened(self, check: Check) -> Spec:
        plain = msgspec.json.decode(check.spec)
        recipients = set()
        for path in self._spec.secret_paths(plain):
            value = sealed.as_sealed(sealed.at(plain, path))
            if value is not None:
                plain = sealed.placed(plain, path, self._secret(check.tenant_id, path, value))
                recipients.add(value.recipient)
        try:
            spec = self._decode(msgspec.json.encode(plain))
        except ValueError:
            # What is wrong may be said with words of the secret.
            raise ValueError("the spec is not one of this kind, with its secrets opened") from None
        if recipients - {spec.recipient}:
            raise UnreadableError(f"A secret was given for {', '.join(sorted(recipients))}, not for {spec.recipient}.")
        return spec

    def _secret(self, tenant_id: str, path: SecretPath, value: Sealed) -> Any:
        context = sealed.context(tenant_id, self._kind, path, value.recipient)
        try:
            return msgspec.json.decode(self._sealer.open(value.sealed, context))
        except UnreadableError as error:
            raise UnreadableError(f"The secret in {'.'.join(path)} cannot be opened: {error}.") from None
