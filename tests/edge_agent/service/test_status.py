"""What the unit says of itself, as a page for people."""

from edge_agent.service.status import in_words


def test_facts_stand_under_their_headings_in_the_headings_order() -> None:
    facts = {"line.state": "connected", "gnss.fix_age_s": "1", "unit": "PW000001", "gnss.port": "/dev/ttyS0"}
    assert in_words(facts).splitlines() == [
        "Unit",
        "  unit  PW000001",
        "Receiver",
        "  fix age s  1",
        "  port       /dev/ttyS0",
        "Server",
        "  state  connected",
    ]


def test_a_fact_without_a_heading_is_not_lost() -> None:
    assert in_words({"unit": "PW000001", "gnssx.odd": "7"}).splitlines()[2:] == ["Other", "  gnssx.odd  7"]


def test_no_facts_are_no_lines() -> None:
    assert in_words({}) == ""
