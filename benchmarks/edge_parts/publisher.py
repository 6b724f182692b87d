"""The peer: a minimal publisher, one JSON object a fix from gpsd, MQTT QoS 1 over mutual TLS; nothing else.

    python benchmarks/edge_parts/publisher.py --broker HOST:PORT --certificates FOLDER --name NAME --topic TOPIC

It keeps nothing on disk, signs nothing, and what the broker loses is lost. Prints the monotonic time of each fix.
"""

import argparse
import contextlib
import json
import socket
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--topic", required=True)
    arguments = parser.parse_args()
    folder, (host, port) = arguments.certificates, arguments.broker.split(":")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=arguments.name, protocol=mqtt.MQTTv311)
    client.tls_set(str(folder / "authority.crt"), str(folder / "unit.crt"), str(folder / "unit.key"))
    client.connect(host, int(port), keepalive=900)
    client.loop_start()
    gpsd = _gpsd()
    gpsd.sendall(b'?WATCH={"enable":true,"json":true}\n')
    for line in gpsd.makefile("r"):
        report = json.loads(line)
        if report.get("class") != "TPV" or "lat" not in report:
            continue
        wanted = ("time", "lat", "lon", "altMSL", "speed", "track", "mode", "eph")
        fix = {name: report[name] for name in wanted if name in report}
        client.publish(arguments.topic, json.dumps(fix), qos=1)
        print(f"{time.monotonic():.3f}", flush=True)


def _gpsd() -> socket.socket:
    for _ in range(40):  # it may still be starting
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", 2947))
        time.sleep(0.25)
    raise SystemExit("no gpsd on port 2947")


if __name__ == "__main__":
    main()
