"""Between receiver and listener: what arrives, and when."""

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.receiver.line import BadLine, PacedLine
from firmware_sim.receiver.sentences import sentence
from firmware_sim.receiver.settings import NO_FAULTS, ReceiverFaults
from tests.firmware_sim.receiver.listening import listen, receiver, straight_on

EPOCH = [sentence(f"GNTXT,01,01,02,SENTENCE {number:03d}") for number in range(400)]


def test_nothing_happens_without_faults() -> None:
    assert BadLine(1).carry(EPOCH, NO_FAULTS) == EPOCH


def test_corrupt_sentences() -> None:
    arrived = BadLine(1).carry(EPOCH, ReceiverFaults(corrupt_share=0.25))
    wrong = [(was, now) for was, now in zip(EPOCH, arrived, strict=True) if was != now]
    assert 70 < len(wrong) < 130
    assert all(len(was) == len(now) for was, now in wrong)
    assert all(1 <= sum(a != b for a, b in zip(was, now, strict=True)) <= 3 for was, now in wrong)


def test_half_sentences_lose_their_ends() -> None:
    arrived = BadLine(1).carry(EPOCH, ReceiverFaults(half_sentences_share=1.0))
    assert all(was.startswith(now) and 0 < len(now) <= len(was) - 3 for was, now in zip(EPOCH, arrived, strict=True))
    assert len({len(now) for now in arrived}) > 15


def test_noise_comes_before_the_epoch() -> None:
    noise, *rest = BadLine(1).carry(EPOCH, ReceiverFaults(noise_bytes=1000))
    assert (len(noise), rest) == (1000, EPOCH)
    assert len(set(noise)) > 200


def test_silence_and_what_goes_on_inside() -> None:
    sender = receiver(start="cold", make="casic")
    quiet = listen(sender, straight_on(60), ReceiverFaults(silent=True))
    assert quiet == []
    assert sender.heard(sentence("PCAS06,0"), 60.0) == b""
    assert listen(sender, straight_on(1, from_s=60))[0].has_fix  # it had its time to start


@given(
    baud=st.sampled_from((4800, 9600, 115200)),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=40),
    looks=st.lists(st.floats(0, 5), max_size=20),
)
def test_the_line_is_as_fast_as_its_baud(baud: int, sizes: list[int], looks: list[float]) -> None:
    """Whenever one looks, the same bytes leave at the same times: ten bit times each, none lost, in order."""
    line = PacedLine(baud)
    data = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    for one in data:
        line.put(one, 1.0)
    gone = [event for look in [*sorted(looks), 100.0] for event in line.due(look)]
    assert b"".join(chunk for _, chunk in gone) == b"".join(data)
    left_s = 1.0
    for at_s, chunk in gone:
        left_s += len(chunk) * 10 / baud
        assert abs(at_s - left_s) < 1e-9
    assert line.next_s() is None
    assert line.dropped == 0


def test_what_does_not_fit_the_line_is_dropped_whole() -> None:
    line = PacedLine(4800)
    for second in range(20):
        for one in EPOCH[:40]:
            line.put(one, float(second))
    assert line.dropped > 300
    left = b"".join(chunk for _, chunk in line.due(1000.0))
    assert all(whole + b"\r\n" in EPOCH for whole in left.split(b"\r\n")[:-1])
    line.put(EPOCH[0], 2000.0)  # idle in between: counted from when it was written
    assert line.next_s() == 2000.0 + 32 * 10 / 4800
