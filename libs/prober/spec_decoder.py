"""Decoding of specs from checks, with their secrets opened."""

from typing import Any

import msgspec

from libs.model.check import Check
from libs.model.fields import sealed_secrets
from libs.model.fields.sealed_secrets import SealedSecret
from libs.model.outcome import Outcome, Reason, Status
from libs.model.spec import SecretPath, Spec
from libs.sealing.sealer import Sealer, UnsealError


class SpecDecoder:
    """Decodes specs of one kind. Secrets are opened here only, immediately before the probe."""

    def __init__(self, spec: type[Spec], sealer: Sealer) -> None:
        self._spec_type = spec
        self._kind = str(spec.__struct_config__.tag)
        self._sealer = sealer
        self._decode_spec = msgspec.json.Decoder(spec).decode

    def decode(self, check: Check) -> Spec | Outcome:
        """Returns the spec, or the outcome of a check whose secrets cannot be opened; ValueError for a bad spec."""
        if sealed_secrets.SEALED_MARKER not in bytes(check.spec):
            return self._decode_spec(check.spec)
        try:
            return self._unseal(check)
        except UnsealError as error:
            return Outcome(status=Status.UNKNOWN, reason=Reason.SECRET_UNREADABLE, detail=str(error))

    def _unseal(self, check: Check) -> Spec:
        plain = msgspec.json.decode(check.spec)
        recipients = set()
        for path in self._spec_type.secret_paths(plain):
            value = sealed_secrets.parse_sealed(sealed_secrets.value_at(plain, path))
            if value is not None:
                plain = sealed_secrets.with_value(plain, path, self._open_secret(check.tenant_id, path, value))
                recipients.add(value.recipient)
        try:
            spec = self._decode_spec(msgspec.json.encode(plain))
        except ValueError:
            # Without the original error, whose text may contain parts of the secret.
            raise ValueError("the spec is not one of this kind, with its secrets opened") from None
        if recipients - {spec.recipient}:
            raise UnsealError(f"A secret was given for {', '.join(sorted(recipients))}, not for {spec.recipient}.")
        return spec

    def _open_secret(self, tenant_id: str, path: SecretPath, value: SealedSecret) -> Any:
        context = sealed_secrets.sealing_context(tenant_id, self._kind, path, value.recipient)
        try:
            return msgspec.json.decode(self._sealer.open(value.sealed, context))
        except UnsealError as error:
            raise UnsealError(f"The secret in {'.'.join(path)} cannot be opened: {error}.") from None
