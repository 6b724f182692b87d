"""A list of units is checked whole, then enrolled; doing it again does no harm."""

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from sqlalchemy import func, select

from server.__main__ import main
from server.config import BrokerSettings, read_settings
from server.fleet.authority import Authority, AuthorityError
from server.fleet.enrol_many import enrol_many, read_list
from server.store import fleet_rows
from server.store.db import Store
from server.store.tables import certificates
from tests.server.cars import everything

NOW = dt.datetime(2026, 11, 23, 8, 15, tzinfo=dt.UTC)
BROKER = BrokerSettings(host="127.0.0.1", port=18883, tls=True, public_host="broker.example.org")
LENDER = "甲汽车金融"
VINS = ("LSVAA4188E2100018", "LGBH52E03KY012345", "LFV2A21K4G3000022")
HEAD = "unit,vin,csr,plate,label\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), ["127.0.0.1"], NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificate requests PW000001.csr to PW000003.csr."""
    for number in (1, 2, 3):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"PW{number:06d}")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(Ed25519PrivateKey.generate(), None)
        (tmp_path / f"PW{number:06d}.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return tmp_path


def lines(*numbers: int) -> str:
    return "".join(f"PW{n:06d},{VINS[n - 1]},PW{n:06d}.csr,京A·{n},\n" for n in numbers)


def listed(folder: Path, text: str) -> Path:
    path = folder / "units.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_unit_gets_its_vehicle_and_its_bundle(store: Store, authority: Authority, folder: Path) -> None:
    wanted = read_list(listed(folder, "\ufeff" + HEAD + lines(1, 2, 3)), LENDER)
    assert [(each.unit, each.plate, each.label) for each in wanted][1] == ("PW000002", "京A·2", None)
    assert enrol_many(store, authority, BROKER, wanted, folder / "bundles", NOW) == 3
    bundle = json.loads((folder / "bundles" / "PW000003.json").read_text())
    assert (bundle["unit"], bundle["vin"], bundle["broker"]["host"]) == ("PW000003", VINS[2], "broker.example.org")
    certificate = x509.load_pem_x509_certificate(bundle["certificate"].encode())
    request = x509.load_pem_x509_csr((folder / "PW000003.csr").read_bytes())
    assert certificate.public_key() == request.public_key()
    with store.read() as connection:
        units = fleet_rows.all_units(connection)
    assert [(unit.name, unit.vin) for unit in units] == [(f"PW{n:06d}", VINS[n - 1]) for n in (1, 2, 3)]


def test_again_gives_fresh_certificates_and_no_second_unit(store: Store, authority: Authority, folder: Path) -> None:
    wanted = read_list(listed(folder, HEAD + lines(1, 2)), LENDER)
    for _ in range(2):
        enrol_many(store, authority, BROKER, wanted, folder / "bundles", NOW)
    with store.read() as connection:
        assert len(fleet_rows.all_units(connection)) == 2
        assert connection.scalar(select(func.count()).select_from(certificates)) == 4


def test_a_public_key_will_do(folder: Path) -> None:
    pem = (
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / "key.pem").write_bytes(pem)
    (wanted,) = read_list(listed(folder, f"vin,public_key,unit\n{VINS[0].lower()},key.pem,PW000001\n"), LENDER)
    assert (wanted.key_pem, wanted.vin) == (pem, VINS[0])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no column unit, vin, csr or public_key"),
        ("unit,csr\n", "no column vin"),
        ("unit,vin,csr,colour\n", "'colour'"),
        (HEAD, "names no unit"),
        (HEAD + lines(1) + "PW 2,LGBH52E03KY012345,PW000002.csr,,\n", "line 3: 'PW 2' cannot be"),
        (HEAD + "PW000001,LSVAA4188E210001,PW000001.csr,,\n", "line 2: .* is not a VIN"),
        (HEAD + lines(1, 2, 1), "line 4: PW000001 stands in line 2"),
        (HEAD + f"PW000001,{VINS[0]},PW000002.csr,,\n", "line 2: the certificate request is for 'PW000002'"),
        (HEAD + f"PW000001,{VINS[0]},none.csr,,\n", "line 2: .*none.csr: No such file"),
        (HEAD + f"PW000001,{VINS[0]},,,\n", "line 2: .*directory"),
        (HEAD + f"PW000001,{VINS[0]},units.csv,,\n", "line 2: neither a certificate request"),
        (HEAD + f'PW000001,{VINS[0]},"PW000001.csr"x,,\n', "no list in CSV"),
    ],
)
def test_a_list_that_cannot_be_is_refused_with_its_line(folder: Path, text: str, match: str) -> None:
    with pytest.raises(AuthorityError, match=match):
        read_list(listed(folder, text), LENDER)


def test_a_unit_known_otherwise_stops_it_there(store: Store, authority: Authority, folder: Path) -> None:
    enrol_many(store, authority, BROKER, read_list(listed(folder, HEAD + lines(2)), "乙"), folder / "b", NOW)
    before = everything(store)
    with pytest.raises(AuthorityError, match=r"PW000002: .*another lender \(0 of 2 are enrolled\)"):
        enrol_many(store, authority, BROKER, read_list(listed(folder, HEAD + lines(2, 3)), LENDER), folder / "c", NOW)
    assert everything(store) == before
    assert list((folder / "c").iterdir()) == []


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLEDGEWATCH_CONFIG", raising=False)
    assert main(["init", "--dir", str(folder / "server")]) == 0
    config = folder / "server" / "server.toml"
    path = listed(folder, HEAD + lines(1, 3))
    arguments = ["--lender", LENDER, "--list", str(path), "--out", str(folder / "bundles")]
    assert main(["--config", str(config), "fleet", "add-many", *arguments]) == 0
    assert "2 units are enrolled" in capsys.readouterr().out
    assert sorted(each.name for each in (folder / "bundles").iterdir()) == ["PW000001.json", "PW000003.json"]
    listed(folder, HEAD + "x,y,z,,\n")
    assert main(["--config", str(config), "fleet", "add-many", *arguments]) == 2
    assert "line 2" in capsys.readouterr().err
    with Store(read_settings(config).store_url).read() as connection:
        assert len(fleet_rows.all_units(connection)) == 2
