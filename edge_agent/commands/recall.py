"""Finds the batches of a window of time in the outbox, to be sent again. A few decodings, however much is kept."""

from edge_agent.store.outbox import Outbox
from wire.codec import decode_columns
from wire.refused import RefusedError
from wire.seal import stored_body

_LOOK_BESIDE = 8  # batches without any time, or events only, among the others


def recall(outbox: Outbox, from_ms: int, to_ms: int) -> int:
    """Have the own boot's batches with samples in [from_ms, to_ms] (UTC ms) sent again; how many they are."""
    ids = outbox.kept_ids()
    times: dict[int, tuple[int, int] | None] = {}

    def span(index: int) -> tuple[int, int] | None:
        if index not in times:
            times[index] = _span_ms(outbox.kept(ids[index]))
        return times[index]

    low, high = 0, len(ids)
    while low < high:  # the first batch that ends at or after from_ms; batches are in order of their time
        middle = (low + high) // 2
        known = next((s for i in range(middle, min(middle + _LOOK_BESIDE, high)) if (s := span(i)) is not None), None)
        if known is not None and known[1] < from_ms:
            low = middle + 1
        else:
            high = middle
    wanted = []
    beyond = 0
    for index in range(max(0, low - _LOOK_BESIDE), len(ids)):
        found = span(index)
        if found is None:
            continue
        if found[0] > to_ms:
            beyond += 1
            if beyond >= _LOOK_BESIDE:
                break
        elif found[1] >= from_ms:
            wanted.append(ids[index])
    outbox.send_again(wanted)
    return len(wanted)


def _span_ms(sealed: bytes | None) -> tuple[int, int] | None:
    """The first and last time of a batch's samples; None where it has none."""
    if sealed is None:
        return None
    try:
        column = decode_columns(stored_body(sealed), ["time_utc_ms"])["time_utc_ms"]
    except RefusedError:
        return None
    times = [each for each in column if each is not None]
    return (min(times), max(times)) if times else None
