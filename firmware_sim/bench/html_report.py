"""The report for people: one HTML file without anything from outside, in Chinese and English at a click."""

import html
from collections.abc import Sequence

from firmware_sim.bench.drawing import timeline
from firmware_sim.bench.judge import Finding, Outcome
from firmware_sim.bench.result import Result
from firmware_sim.story.describe import span

_STYLE = """
:root{--good:#1a7f4b;--bad:#c0362c;--waits:#8a6d1a;--line:#d8dde3;--text:#1d2733;--dim:#66727f;--page:#fff;--soft:#f4f6f8}
@media(prefers-color-scheme:dark){:root{--good:#4cc38a;--bad:#ff7b72;--waits:#d9b44a;--line:#39424d;--text:#e3e8ee;
--dim:#94a1af;--page:#12171d;--soft:#1a2129}}
body{font:15px/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:var(--text);background:var(--page);
max-width:1120px;margin:0 auto;padding:20px}
body.zh .en,body.en .zh{display:none}h1{font-size:22px;margin:0}h2{font-size:18px;margin:0}
header{display:flex;gap:16px;align-items:baseline;justify-content:space-between}
button{font:inherit;color:inherit;background:var(--soft);border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;width:100%;margin:12px 0}td,th{text-align:left;padding:4px 8px;vertical-align:top;
border-bottom:1px solid var(--line)}section{border-top:2px solid var(--line);margin-top:32px;padding-top:16px}
.good{color:var(--good)}.bad{color:var(--bad)}.waits{color:var(--waits)}.dim{color:var(--dim)}a{color:inherit}
.picture{overflow-x:auto}svg{min-width:760px;width:100%;background:var(--soft);border-radius:6px;margin:10px 0}
svg text{font-size:11px;fill:var(--text)}svg .lane{fill:var(--dim)}svg .small{font-size:10px;fill:var(--dim)}
svg .on{fill:#fff;font-size:11px}svg .tick{stroke:var(--line)}svg .fold{fill:var(--line);opacity:.75}
svg .act{fill:#5b7083}svg .drive,svg .idle{fill:#2f6fb0}svg .tow,svg .flatbed,svg .away,svg .roll{fill:#a3542e}
svg .off{fill:#333b44}svg .fault{fill:#b4522d}svg .expect{fill-opacity:.85;stroke:none}
svg rect.good,svg g.good path{fill:var(--good)}svg rect.bad,svg g.bad path{fill:var(--bad)}
svg rect.waits{fill:var(--waits)}svg g.plain path{fill:var(--dim)}
svg polyline{fill:none;stroke-width:1.5}svg .speed{stroke:#2f6fb0}svg .volts{stroke:#b07d2f}
pre{white-space:pre-wrap;background:var(--soft);padding:8px}
"""
_SCRIPT = """
const choose=l=>{document.body.className=l;document.documentElement.lang=l;localStorage.pwLanguage=l};
document.getElementById('language').onclick=()=>choose(document.body.className==='zh'?'en':'zh');
choose(localStorage.pwLanguage||(navigator.language.startsWith('zh')?'zh':'en'));
"""
_MARKS = {Outcome.PASSED: ("good", "通过", "passed"), Outcome.FAILED: ("bad", "未通过", "failed")}
_WAITS = ("waits", "等待", "waits")
_ALWAYS_ZH = {
    "every seal holds": "每个签名都有效",
    "nothing that was sealed is lost": "已封存的数据没有丢失",
    "all that was sealed is stored, and once": "封存的数据都已入库，且只入库一次",
    "every position of a drive arrives": "行驶中的每个定位都已到达",
    "no traceback in the agent's log": "终端日志中没有程序异常",
    "the agent runs until it is asked to end": "终端一直运行到被要求结束",
}


def html_report(results: Sequence[Result]) -> str:
    """The whole file; what failed comes first, the rest in the given order."""
    results = sorted(results, key=lambda each: each.passed)
    passed = sum(each.passed for each in results)
    body = "".join(_section(each) for each in results)
    heading = _both("测试台报告", "Bench report")
    summary = _both(f"{len(results)} 个场景，{passed} 个通过", f"{passed} of {len(results)} stories passed")
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width"><title>Pledgewatch bench</title>'
        f"<style>{_STYLE}</style></head><body class='zh'><header><h1>{heading}</h1>"
        f"<button id='language'>中文 / English</button></header><p>{summary}</p>{_overview(results)}{body}"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _overview(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        story, evidence = result.story, result.evidence
        kind, zh, en = _MARKS[Outcome.PASSED if result.passed else Outcome.FAILED]
        waits = result.verdict.waits
        waiting = _both(f"，{waits} 项等待", f", {waits} wait") if waits else ""
        rows.append(
            f"<tr><td class='{kind}'>{_both(zh, en)}{waiting}</td>"
            f"<td><a href='#{story.name}'>{_both(story.title.zh, story.title.en)}</a></td>"
            f"<td class='dim'>{story.name}</td><td class='dim'>{span(story.duration_s)}</td>"
            f"<td class='dim'>{evidence.wall_s:.0f} s</td></tr>"
        )
    titles = (("结果", "Result"), ("场景", "Story"), ("文件", "File"), ("剧中时长", "Story time"), ("用时", "Took"))
    return "<table><tr>" + "".join(f"<th>{_both(*each)}</th>" for each in titles) + "</tr>" + "".join(rows) + "</table>"


def _section(result: Result) -> str:
    story, evidence = result.story, result.evidence
    kind, zh, en = _MARKS[Outcome.PASSED if result.passed else Outcome.FAILED]
    title = f"{_both(story.title.zh, story.title.en)} <span class='{kind}'>{_both(zh, en)}</span>"
    parts = [
        f"<section id='{story.name}'><h2>{title}</h2>",
        f"<p>{_both(story.about.zh, story.about.en)}</p><p class='dim'>{_told(result)}</p>",
    ]
    if result.trouble:
        parts.append(f"<pre class='bad'>{html.escape(result.trouble)}</pre></section>")
        return "".join(parts)
    parts.append(f"<div class='picture'>{timeline(result)}</div>")
    findings = sorted(result.verdict.findings, key=lambda each: each.outcome is not Outcome.FAILED)
    parts.append("<table>" + "".join(_row(each) for each in findings) + "</table>")
    parts += [f"<p class='dim'>{html.escape(note)}</p>" for note in evidence.notes]
    parts.append("</section>")
    return "".join(parts)


def _told(result: Result) -> str:
    """How it was played."""
    story, evidence = result.story, result.evidence
    skipped_s = sum(to_s - from_s for from_s, to_s in evidence.skipped)
    zh = [f"{story.city}，{story.start:%Y-%m-%d %H:%M} UTC 起，种子 {story.seed}，{evidence.rate:g} 倍速"]
    en = [f"{story.city}, from {story.start:%Y-%m-%d %H:%M} UTC, seed {story.seed}, played at {evidence.rate:g} × life"]
    if skipped_s:
        zh.append(f"停放时间跳过 {span(skipped_s)}（由终端的可控时钟实现）")
        en.append(f"{span(skipped_s)} of parking skipped by the unit's steered clock")
    zh.append(f"收到 {len(evidence.batches)} 批、{len(evidence.events)} 个事件")
    en.append(f"{len(evidence.batches)} batches and {len(evidence.events)} events received")
    return _both("；".join(zh), "; ".join(en))


def _row(finding: Finding) -> str:
    kind, zh, en = _MARKS.get(finding.outcome, _WAITS)
    what = _both(_ALWAYS_ZH[finding.what], finding.what) if finding.what in _ALWAYS_ZH else html.escape(finding.what)
    why = html.escape(finding.why)
    return f"<tr><td class='{kind}'>{_both(zh, en)}</td><td>{what}</td><td class='dim'>{why}</td></tr>"


def _both(zh: str, en: str) -> str:
    return f"<span class='zh'>{html.escape(zh)}</span><span class='en'>{html.escape(en)}</span>"
