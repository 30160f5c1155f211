#!/usr/bin/env python3
"""PUTs of 64 MiB to two stores beside each other, whose trusted program is a process and inline, in turn; medians and their ratio.

    cargo build --release --workspace --bins
    python3 bench/scripts/put_platforms.py FOLDER [POLICY] [RUNS]

FOLDER is made anew below the one that is named, and removed. Needs ports 15600, 15601, 18600 and 18601 of this machine.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

BINARY = str(pathlib.Path(__file__).resolve().parents[2] / "target/release/securecloud")
BODY = os.urandom(64 << 20)
PLATFORMS = ["process", "inline"]


def request(stack, method, path, body):
    port, token = stack
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in (200, 201):
        sys.exit(f"{method} {path}: {answer.status} {text[:200]}")


def start(folder, platform, number, processes):
    os.makedirs(folder)
    store, rest = f"127.0.0.1:{15600 + number}", 18600 + number
    quiet = open(folder + "/log", "w")
    role = [BINARY, "store", "--address", store, "--data", folder, "--new-locations", "6", "--platform", platform]
    processes.append(subprocess.Popen(role, stderr=quiet))
    role = [BINARY, "gateway", "--store", store, "--rest", f"127.0.0.1:{rest}", "--owner", folder + "/owner"]
    role += ["--create-owner", "--token", folder + "/token", "--allow-simulation"]
    processes.append(subprocess.Popen(role, stderr=quiet))
    until = time.time() + 30
    while time.time() < until:
        try:
            with open(folder + "/token") as file:
                token = file.read().strip()
            http.client.HTTPConnection("127.0.0.1", rest).connect()
            return rest, token
        except OSError:
            time.sleep(0.1)
    sys.exit(f"no gateway: see {folder}/log")


def put(stack, name):
    began = time.time()
    request(stack, "PUT", f"/v1/datastores/measured/objects/{name}", BODY)
    return time.time() - began


def main():
    folder = sys.argv[1] + "/put-platforms"
    policy = sys.argv[2] if len(sys.argv) > 2 else "cold"
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    processes = []
    try:
        stacks = [start(f"{folder}/{name}", name, at, processes) for at, name in enumerate(PLATFORMS)]
        for stack in stacks:
            request(stack, "POST", "/v1/datastores", json.dumps({"name": "measured", "policy": policy}))
        times = [[], []]
        for run in range(-3, runs):
            for at in ([0, 1] if run % 2 else [1, 0]):
                took = put(stacks[at], f"object{run % 4}")
                if run >= 0:
                    times[at].append(took)
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
    rates = [64 / statistics.median(it) for it in times]
    for name, rate in zip(PLATFORMS, rates):
        print(f"{name}: {rate:.1f} MiB/s")
    print(f"process / inline: {rates[0] / rates[1]:.3f}")


main()
