"""JUnit XML, as continuous-integration servers read it: a suite a story, a case a finding."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from firmware_sim.bench.judge import Outcome
from firmware_sim.bench.result import Result

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def junit_report(results: Sequence[Result]) -> str:
    """The whole document."""
    suites = Xml.Element("testsuites", name="pledgewatch-sim")
    for result in results:
        suite = Xml.SubElement(suites, "testsuite", name=result.story.name, time=f"{result.evidence.wall_s:.1f}")
        cases = [_case(suite, result.story.name, each.what) for each in result.verdict.findings]
        for case, finding in zip(cases, result.verdict.findings, strict=True):
            if finding.outcome is Outcome.FAILED:
                Xml.SubElement(case, "failure", message=_clean(finding.why))
            elif finding.outcome is Outcome.WAITS:
                Xml.SubElement(case, "skipped", message=_clean(f"waits for {finding.why}"))
        if result.trouble:
            case = _case(suite, result.story.name, "the bench plays it")
            Xml.SubElement(case, "error", message=_clean(result.trouble.strip().splitlines()[-1])).text = _clean(
                result.trouble
            )
        outcomes = [each.outcome for each in result.verdict.findings]
        suite.set("tests", str(len(outcomes) + bool(result.trouble)))
        suite.set("failures", str(outcomes.count(Outcome.FAILED)))
        suite.set("skipped", str(outcomes.count(Outcome.WAITS)))
        suite.set("errors", str(int(bool(result.trouble))))
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"


def _case(suite: Xml.Element, story: str, name: str) -> Xml.Element:
    return Xml.SubElement(suite, "testcase", classname=f"scenarios.{story}", name=_clean(name))


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
