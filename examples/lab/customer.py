"""A customer of the example pair: numbered events through the virtual address, one after the other.

    python3 customer.py write --for 10        what was acknowledged, by whom and when, as JSON
    python3 customer.py read                  what the books hold now

Never sends an event twice: one whose answer was lost may be in the books or not. Standard library only.
"""

import argparse
import http.client
import json
import time

PAUSE_S = 0.01
PATIENCE_S = 1.0


def ask(host: str, method: str, path: str, body: str | None = None, patience_s: float = PATIENCE_S) -> dict:
    """Raises OSError, http.client.HTTPException."""
    door = http.client.HTTPConnection(host, 8080, timeout=patience_s)
    try:
        door.request(method, path, body)
        return json.loads(door.getresponse().read())
    finally:
        door.close()


def write(host: str, seconds: float, prefix: str) -> dict:
    """Times are milliseconds from the start."""
    began = time.monotonic()
    acknowledged: list[str] = []
    stretches: list[dict] = []
    longest, last, number = 0.0, began, 0
    while time.monotonic() < began + seconds:
        number += 1
        try:
            answer = ask(host, "POST", "/events", f"{prefix}{number}")
        except (OSError, http.client.HTTPException):
            time.sleep(PAUSE_S)
            continue
        now = time.monotonic()
        acknowledged.append(f"{prefix}{number}")
        if not stretches or stretches[-1]["node"] != answer["node"]:
            stretches.append({"node": answer["node"], "answers": 0, "first_ms": (now - began) * 1000})
        stretches[-1]["answers"] += 1
        stretches[-1]["last_ms"] = (now - began) * 1000
        longest, last = max(longest, now - last), now
        time.sleep(PAUSE_S)
    return {"acknowledged": acknowledged, "longest_gap_ms": longest * 1000, "stretches": stretches}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("deed", choices=["write", "read"])
    parser.add_argument("--host", default="10.77.0.10")
    parser.add_argument("--for", dest="seconds", type=float, default=10.0)
    parser.add_argument("--prefix", default="event ")
    options = parser.parse_args()
    if options.deed == "write":
        print(json.dumps(write(options.host, options.seconds, options.prefix)))
    else:
        print(json.dumps(ask(options.host, "GET", "/events", patience_s=30.0)))


if __name__ == "__main__":
    main()
