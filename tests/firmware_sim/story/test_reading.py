"""Scenario files: what is right is read as written, and what is wrong is told with file, table, key and a hint."""

import pytest

from firmware_sim.story.reading import World, read_story
from firmware_sim.story.schema import Story, StoryError

WORLD = World(
    cities=("chengdu", "beijing"),
    places=("home", "work"),
    events=("tow", "collision", "ignition_on", "status"),
    alarms=("tow", "collision"),
    profiles=("elm327_v15",),
    commands=("follow",),
    faults=("receiver.jammed", "adapter.hung", "car.misfire"),
)
HEAD = """title = { zh = "拖走", en = "Towed" }
about = { zh = "……", en = "..." }
tags = ["theft", "fast"]
seed = 7
start = 2026-11-23T14:00:00Z
city = "chengdu"
"""
ACTS = """[[act]]
name = "evening"
do = "drive"
to = "home"
minutes = 2
[[act]]
name = "night"
do = "park"
hours = 9
[[act]]
name = "theft"
do = "tow"
minutes = 3
"""
NEVER = '[[never]]\nevent = "*"\n'


def read(more: str, head: str = HEAD, acts: str = ACTS) -> Story:
    return read_story(head + acts + more, "night_tow", WORLD)


def refusal(more: str, head: str = HEAD, acts: str = ACTS) -> str:
    with pytest.raises(StoryError) as refused:
        read(more, head, acts)
    return str(refused.value)


def test_acts_follow_one_another() -> None:
    story = read(NEVER)
    assert [(act.name, act.begin_s, act.end_s) for act in story.acts] == [
        ("evening", 0.0, 120.0),
        ("night", 120.0, 32520.0),
        ("theft", 32520.0, 32700.0),
    ]
    assert story.duration_s == 32700.0
    assert story.acts[0].to == "home"
    assert (story.at, story.speed, story.seed, story.title.zh) == ("home", 1.0, 7, "拖走")


def test_an_act_takes_at_least_as_long_as_its_way() -> None:
    story = read_story(HEAD + ACTS + NEVER, "night_tow", WORLD, seed=9, lengths={"evening": 300.0, "theft": 10.0})
    assert [act.begin_s for act in story.acts] == [0.0, 300.0, 32700.0]
    assert story.acts[2].seconds == 180.0
    assert story.seed == 9


def test_times_of_faults_count_from_their_act() -> None:
    faults = """[[fault]]
in = "theft"
at_s = 20
for_s = 60
what = "receiver.jammed"
value = 0.9
[[fault]]
in = "night"
what = "network.down"
[[fault]]
in = "evening"
at_s = 10
until = "night"
what = "adapter.hung"
[[fault]]
in = "evening"
at_s = 5
what = "clock.jump_s"
value = -3600
"""
    jammed, network, hung, jump = read(faults + NEVER).faults
    assert (jammed.begin_s, jammed.end_s, jammed.value) == (32540.0, 32600.0, 0.9)
    assert (network.begin_s, network.end_s, network.value) == (120.0, 32520.0, True)
    assert (hung.begin_s, hung.end_s) == (10.0, 32520.0)
    assert (jump.begin_s, jump.end_s, jump.value, jump.part, jump.name) == (5.0, 5.0, -3600, "clock", "jump_s")


def test_expectations() -> None:
    told = """[[expect]]
event = "tow"
in = "theft"
details = { reason = "moving_slowly", on = true }
[[expect]]
event = "tow"
in = "night"
from_s = 5
until = "theft"
count = 2
[[expect]]
alert = "L1.tow"
in = "theft"
waits_for = "server alerts"
[[expect]]
fact = "obd.state"
has = "query"
not = "no adapter"
at = "end of evening"
[[expect]]
state = "lat_deg"
near = "home"
within_m = 70
[[expect]]
gap = false
"""
    tow, twice, alert, fact, state, gap = read(told).expects
    assert (tow.kind, tow.name, tow.from_s, tow.to_s) == ("event", "tow", 32520.0, 32760.0)
    assert (tow.least, tow.most, dict(tow.details)) == (1, None, {"reason": "moving_slowly", "on": "true"})
    assert (twice.from_s, twice.to_s, twice.least, twice.most) == (125.0, 32700.0, 2, 2)
    assert (alert.kind, alert.waits_for) == ("alert", "server alerts")
    assert (fact.kind, fact.at_s, fact.has, fact.unlike) == ("fact", 120.0, "query", "no adapter")
    assert (state.near, state.within_m, state.at_s) == ("home", 70, None)
    assert (gap.kind, gap.gap) == ("gap", False)
    assert read(told).waiting == ("server alerts",)


def test_the_end_of_a_drive_is_before_the_key_is_turned() -> None:
    told = '[[expect]]\nfact = "x"\nis = "y"\nat = "end of night"\n'
    assert read_story(HEAD + ACTS + told, "night_tow", WORLD, ends={"night": 77.5}).expects[0].at_s == 197.5


def test_never() -> None:
    all_alarms = '[[never]]\nevent = ["*", "status"]\nin = ["evening", "theft"]\n'
    both, one = read(all_alarms + '[[never]]\nevent = "tow"\nin = "night"\nto_s = 9\n').nevers
    assert both.events == ("tow", "collision", "status")
    assert both.spans == ((0.0, 120.0), (32520.0, 32700.0))
    assert one.spans == ((120.0, 129.0),)


def test_devices_may_be_missing() -> None:
    assert read(NEVER, HEAD + 'receiver = "none"\n').receiver is None
    assert read(NEVER + '[adapter]\nprofile = "none"\n').adapter is None
    assert read(NEVER).adapter == {}
    assert read(NEVER + "[unit]\npower = { parked_after_s = 30 }\n").unit == {"power": {"parked_after_s": 30}}


def test_an_order() -> None:
    told = '[[order]]\nin = "evening"\nat_s = 20\ncommand = "follow"\narguments = { minutes = 2 }\n'
    (order,) = read(told + NEVER).orders
    assert (order.at_s, order.command, dict(order.arguments)) == (20.0, "follow", {"minutes": "2"})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "judges nothing"),
        (NEVER + "colour = 1\n", "[[never]] number 1, key 'colour': is not known"),
        ('[[never]]\nevent = "tows"\n', "did you mean 'tow'?"),
        ('[[expect]]\nevent = "towed"\nin = "theft"\n', "did you mean 'tow'?"),
        (
            '[[expect]]\nevent = "tow"\nin = "theif"\n',
            "[[expect]] number 1, key 'in': 'theif' is not known; did you mean",
        ),
        ('[[expect]]\nevent = "tow"\nin = "theft"\nfrom_s = 50\nto_s = 40\n', "40 is not after from_s, 50"),
        ('[[expect]]\nevent = "tow"\nfact = "x"\n', "exactly one of event"),
        ('[[expect]]\nevent = "tow"\nin = "theft"\ncount = 0\n', "a whole number from 1 on"),
        ('[[expect]]\nalert = "L1"\nin = "theft"\n', "tells no alerts yet"),
        ('[[expect]]\nfact = "x"\n', "needs one of is, has"),
        ('[[expect]]\nfact = "x"\nis = "y"\nat = "after theft"\n', '"begin of ACT"'),
        ('[[fault]]\nin = "theft"\nwhat = "receiver.jamed"\n' + NEVER, "did you mean 'receiver.jammed'?"),
        ('[[fault]]\nin = "theft"\nat_s = 200\nwhat = "adapter.hung"\n' + NEVER, "outside the act 'theft'"),
        ('[[fault]]\nin = "theft"\nfor_s = 999\nwhat = "adapter.hung"\n' + NEVER, "the story ends at 32700 s"),
        ('[[fault]]\nin = "theft"\nwhat = "ports.renumbered"\nfor_s = 3\n' + NEVER, "happens once"),
        ('[[fault]]\nin = "theft"\nwhat = "clock.jump_s"\n' + NEVER, "how far the clock jumps"),
        ('[[fault]]\nin = "theft"\nwhat = "network.down"\nvalue = 3\n' + NEVER, "takes none"),
        ('[[order]]\nin = "theft"\ncommand = "folow"\n' + NEVER, "did you mean 'follow'?"),
        ('[adapter]\nprofile = "elm327_v14"\n' + NEVER, "adapter.profile"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(more: str, told: str) -> None:
    text = refusal(more)
    assert text.startswith("night_tow.toml")
    assert told in text


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('city = "chengdu"', 'city = "chengdo"', "key 'city': 'chengdo' is not known; did you mean 'chengdu'?"),
        ("seed = 7", "seed = 7.5", "key 'seed': must be a whole number"),
        ("seed = 7", "", "key 'seed': is missing"),
        ("start = 2026-11-23T14:00:00Z", "start = 2026-11-23", "must be a UTC time"),
        ('zh = "拖走", ', "", "night_tow.toml.title, key 'zh': is missing"),
        ('tags = ["theft", "fast"]', 'tags = ["Theft"]', "small letters"),
        ("seed = 7", "sed = 7", "is missing"),
        ("seed = 7", "seed = 7\nsped = 2", "did you mean 'speed'?"),
        ("seed = 7", "seed 7", "not TOML"),
    ],
)
def test_a_wrong_head(before: str, after: str, told: str) -> None:
    assert told in refusal(NEVER, HEAD.replace(before, after))


@pytest.mark.parametrize(
    ("acts", "told"),
    [
        ("", "at least one [[act]]"),
        (ACTS.replace('"tow"', '"towed"'), "did you mean 'tow'?"),
        (ACTS.replace("minutes = 3", ""), "needs its length"),
        (ACTS.replace("minutes = 3", "minutes = 3\nhours = 1"), "needs its length"),
        (ACTS.replace('"theft"', '"night"'), "no other act has"),
        (ACTS.replace('"home"', '"hom"'), "did you mean 'home'?"),
        (ACTS.replace("hours = 9", 'hours = 9\nto = "work"'), "key 'to': is not known here"),
    ],
)
def test_wrong_acts(acts: str, told: str) -> None:
    assert told in refusal(NEVER, acts=acts)


def test_a_name_that_is_no_word() -> None:
    with pytest.raises(StoryError, match="small letters"):
        read_story(HEAD + ACTS + NEVER, "Night-Tow", WORLD)
