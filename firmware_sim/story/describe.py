"""A story in words, in Chinese or English."""

from firmware_sim.story.schema import Expect, Never, Story
from firmware_sim.story.vocabulary import ACTS, PARTS

_WORDS = {
    "zh": {
        "starts": "开始",
        "acts": "经过",
        "faults": "故障",
        "orders": "指令",
        "expects": "必须看到",
        "nevers": "不得出现",
        "waits": "等待",
        "city": "城市",
        "tags": "标签",
        "takes": "时长",
    },
    "en": {
        "starts": "Begins",
        "acts": "What happens",
        "faults": "What goes wrong",
        "orders": "Commands",
        "expects": "What must be seen",
        "nevers": "What must not come",
        "waits": "waits for",
        "city": "City",
        "tags": "Tags",
        "takes": "Takes",
    },
}


def describe(story: Story, language: str) -> str:
    """The whole story as lines of text; `language`: "zh" or "en"."""
    words = _WORDS[language]
    kind = {name: getattr(act, language) for name, act in ACTS.items()}
    lines = [
        f"{story.title.in_language(language)}  ({story.name})",
        "",
        story.about.in_language(language),
        "",
        f"{words['city']}: {story.city}",
        f"{words['starts']}: {story.start:%Y-%m-%d %H:%M} UTC",
        f"{words['takes']}: {span(story.duration_s)}",
        f"{words['tags']}: {', '.join(story.tags) or '-'}",
        "",
        f"{words['acts']}:",
        *(
            f"  {span(act.begin_s):>9}  {act.name:<14} {kind[act.do]}"
            + (f" → {act.to}" if act.to else "")
            + f"  ({span(act.seconds)})"
            for act in story.acts
        ),
    ]
    if story.faults:
        lines += ["", f"{words['faults']}:"]
        for fault in story.faults:
            part = PARTS[fault.part] if language == "zh" else fault.part
            value = "" if fault.value is True else f" = {fault.value}"
            lasts = "" if fault.end_s == fault.begin_s else f" … {span(fault.end_s)}"
            lines.append(f"  {span(fault.begin_s):>9}{lasts}  {part}: {fault.name}{value}")
    if story.orders:
        lines += ["", f"{words['orders']}:"]
        lines += [f"  {span(each.at_s):>9}  {each.command} {dict(each.arguments) or ''}" for each in story.orders]
    waits = words["waits"]
    if story.expects:
        lines += ["", f"{words['expects']}:"]
        lines += [
            f"  {expectation(each)}" + (f"   [{waits}: {each.waits_for}]" if each.waits_for else "")
            for each in story.expects
        ]
    if story.nevers:
        lines += ["", f"{words['nevers']}:"]
        lines += [
            f"  {prohibition(each)}" + (f"   [{waits}: {each.waits_for}]" if each.waits_for else "")
            for each in story.nevers
        ]
    return "\n".join(lines)


def expectation(expect: Expect) -> str:
    """One expectation in symbols that both languages share."""
    if expect.kind in ("event", "alert"):
        details = "".join(f", {name} = {value}" for name, value in expect.details.items())
        times = f" × {expect.most}" if expect.most and expect.most > 1 else ""
        return f"{expect.kind} {expect.name}{times}{details}   {span(expect.from_s)} … {span(expect.to_s)}"
    if expect.kind == "gap":
        return f"gap = {str(expect.gap).lower()}"
    wanted = []
    if expect.value is not None:
        wanted.append(f"= {expect.value}")
    if expect.has:
        wanted.append(f"∋ {expect.has}")
    if expect.unlike is not None:
        wanted.append(f"≠ {expect.unlike}")
    if expect.at_least is not None:
        wanted.append(f"≥ {expect.at_least:g}")
    if expect.at_most is not None:
        wanted.append(f"≤ {expect.at_most:g}")
    if expect.near:
        wanted.append(f"≤ {expect.within_m:g} m ↔ {expect.near}")
    when = "" if expect.at_s is None else f"   {span(expect.at_s)}"
    return f"{expect.kind} {expect.name} {', '.join(wanted)}{when}"


def prohibition(never: Never) -> str:
    """One prohibition in the same way."""
    return f"{', '.join((*never.events, *never.alerts))}   " + ", ".join(
        f"{span(from_s)} … {span(to_s)}" for from_s, to_s in never.spans
    )


def span(seconds: float) -> str:
    """Story seconds for people: 5:07, 3:00:00, 2d 04:00:00."""
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, minutes, left = rest // 3600, rest // 60 % 60, rest % 60
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}:{left:02d}"
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
