"""The fuzzer of batches, for a moment, on both databases; `fuzz_batches.py` runs as long as you like."""

import logging

import pytest

from server.store.db import Store
from tests.fuzz.fuzz_batches import Fuzz
from wire.refused import Reason


def test_every_changed_batch_is_refused_with_a_reason_or_still_good(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "server.live")
    verdicts = Fuzz(store, seed=2).run(1500)
    assert verdicts.total() == 1500
    # The fuzzer itself has worked: it came past each of the checks.
    met = {str(reason) for reason in Reason} & verdicts.keys()
    assert met >= {"malformed", "wrong_topic", "signature", "other_unit", "broken_link", "same_identity_other_bytes"}
    assert verdicts["stored"] > 50
