"""The commands page: given with a reason, listed with what came of it, never for another lender's vehicle."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.command_sending import due_messages
from server.commanding import MOST_OPEN, Flaw, State
from server.store.tables import commands
from server.web.command_pages import OFFERED
from server.web.command_texts import (
    FLAW_TEXTS,
    KIND_TEXTS,
    OUTCOME_TEXTS,
    PARAMETER_TEXTS,
    REFUSAL_TEXTS,
    STATE_TEXTS,
    outcome_text,
)
from tests.server.web.conftest import NOW_MS, OTHER_VIN, VIN, choose, token
from tests.server.web.world import World
from wire.commands import COMMANDS, Outcome, Refusal
from wire.records import Event, TimeQuality

AsUser = Callable[[str], FlaskClient]


def give(client: FlaskClient, vehicle_id: int, **form: str) -> tuple[int, str]:
    asked = {"kind": "locate", "unit": "PW000001", "reason": "客户失联两天", "minutes": "10", **form}
    answer = client.post(f"/vehicles/{vehicle_id}/commands", data={"csrf_token": token(client, "/vehicles"), **asked})
    return answer.status_code, answer.text


def twin(client: FlaskClient, world: World) -> list[dict[str, object]]:
    answer = client.get(f"/vehicles/{world.vehicles[VIN]}/commands.json")
    assert answer.json is not None
    found: list[dict[str, object]] = answer.json["commands"]
    return found


def test_given_and_listed(jia: FlaskClient, world: World) -> None:
    path = f"/vehicles/{world.vehicles[VIN]}"
    assert f'href="{path}/commands"' in jia.get(path).text
    assert "尚未对本车下发过指令" in jia.get(path + "/commands").text
    assert give(jia, world.vehicles[VIN], kind="follow", minutes="30", reason="<b>失联</b>")[0] == 303
    text = jia.get(path + "/commands").text
    for words in ("连续跟踪 (分钟 30, 定位间隔秒数 10)", "等待下发", "jia", "&lt;b&gt;失联", "2026-11-18 19:06:40"):
        assert words in text
    [line] = twin(jia, world)
    assert (line["kind"], line["parameters"]) == ("follow", {"minutes": "30", "every_s": "10"})
    assert (line["issued_by"], line["reason"], line["state"]) == ("jia", "<b>失联</b>", "waiting")
    with world.store.read() as connection:
        [row] = connection.execute(commands.select())
    assert (row.lender_id, row.vehicle_id, row.sealed) == (world.lenders["甲汽车金融"], world.vehicles[VIN], None)
    assert row.user_id is not None


def test_what_came_of_it(jia: FlaskClient, world: World) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    give(jia, world.vehicles[VIN])
    page = f"/vehicles/{world.vehicles[VIN]}/commands"
    due_messages(world.store, Ed25519PrivateKey.generate(), NOW_MS)
    assert "已下发，尚未答复" in jia.get(page).text
    told = {"id": str(twin(jia, world)[0]["id"]), "kind": "locate", "outcome": "refused", "reason": "expired"}
    world.hear("PW000001", [], NOW_MS + 5, [Event("command_answer", 1, NOW_MS, TimeQuality.GNSS, told)])
    assert "终端拒绝执行 (送达时已过期)" in jia.get(page).text
    choose(jia, "en")
    assert "refused by the unit (it came too late)" in jia.get(page).text
    [line] = twin(jia, world)
    assert (line["state"], line["outcome"], line["answered_ms"]) == ("answered", "refused", NOW_MS + 5)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"reason": ""}, "请填写 4 至 300 个字符的理由"),
        ({"reason": " a b "}, "请填写 4 至 300 个字符的理由"),
        ({"kind": "follow", "minutes": "61"}, "1 至 60 分钟"),
        ({"kind": "follow", "minutes": ""}, "1 至 60 分钟"),
        ({"unit": "PW000002"}, "没有该名称的在用终端"),
        ({"unit": ""}, "没有该名称的在用终端"),
        ({"kind": "recall"}, "400"),
        ({"kind": "set"}, "400"),
    ],
)
def test_what_cannot_be_given(jia: FlaskClient, world: World, form: dict[str, str], says: str) -> None:
    status, text = give(jia, world.vehicles[VIN], **form)
    assert status == 400
    assert says in text or says == "400"
    assert twin(jia, world) == []


def test_what_was_filled_in_stays(jia: FlaskClient, world: World) -> None:
    _, text = give(jia, world.vehicles[VIN], kind="follow", minutes="99", reason="客户失联两天")
    for kept in ('<option value="follow" selected>', 'value="99"', 'value="客户失联两天"'):
        assert kept in text


def test_nobody_commands_another_lenders_vehicle(jia: FlaskClient, as_user: AsUser, world: World) -> None:
    assert give(jia, world.vehicles[OTHER_VIN], unit="PW000002")[0] == 404
    assert give(as_user("yi"), world.vehicles[VIN])[0] == 404
    assert give(as_user("yi"), world.vehicles[OTHER_VIN], unit="PW000001")[0] == 400  # his vehicle, not his unit
    with world.store.read() as connection:
        assert connection.execute(commands.select()).all() == []


def test_only_from_our_own_form_and_behind_a_login(app: Flask, jia: FlaskClient, world: World) -> None:
    path, form = f"/vehicles/{world.vehicles[VIN]}/commands", {"kind": "status", "unit": "PW000001"}
    assert jia.post(path, data=form).status_code == 400
    assert app.test_client().post(path, data=form).status_code in (303, 400)
    assert twin(jia, world) == []


def test_open_commands_are_bounded(jia: FlaskClient, world: World) -> None:
    for _ in range(MOST_OPEN):
        assert give(jia, world.vehicles[VIN], kind="status", reason="")[0] == 303
    status, text = give(jia, world.vehicles[VIN], kind="status", reason="")
    assert (status, "未答复的指令过多" in text) == (400, True)


def test_a_vehicle_without_a_unit_has_no_form(jia: FlaskClient, world: World) -> None:
    text = jia.get(f"/vehicles/{world.vehicles['LHGCM56745A000888']}/commands").text
    assert "本车未安装终端" in text
    assert 'name="kind"' not in text


def test_everything_has_its_words(app: Flask) -> None:
    assert KIND_TEXTS.keys() == COMMANDS.keys()
    assert set(OFFERED) <= COMMANDS.keys()
    assert PARAMETER_TEXTS.keys() == {each.name for row in COMMANDS.values() for each in row.parameters}
    assert STATE_TEXTS.keys() == set(State)
    assert OUTCOME_TEXTS.keys() == set(Outcome)
    assert REFUSAL_TEXTS.keys() == set(Refusal)
    assert FLAW_TEXTS.keys() == set(Flaw)
    with app.test_request_context():
        assert outcome_text("grew wings", "at night: two") == "grew wings (at night: two)"
        assert outcome_text("refused", "parameters: minutes is 99").startswith("终端拒绝执行 (参数超出范围: minutes")
