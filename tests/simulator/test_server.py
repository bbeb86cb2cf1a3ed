"""Connections of the simulator: concurrency, held requests, closing."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from tests.simulator import Dataset, Hang, Simulator
from tests.support.api_client import EVERYTHING, STREAMS, ApiClient, ids
from tests.support.harness import MAX_RETRY_DELAY as TIMEOUT
from tests.support.harness import wait_until


def test_concurrent_clients_get_the_rows_of_their_stream(simulator: Simulator) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda stream: ids(ApiClient(simulator).rows(stream, 3)), STREAMS))
    assert [sorted(rows) for rows in found] == [list(range(1, 21))] * len(STREAMS)
    assert len(simulator.requests) == len(STREAMS) * 8


def test_hanging_request_is_answered_on_release(simulator: Simulator, client: ApiClient) -> None:
    simulator.inject(Hang().on("events", "submit"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "events")
        wait_until(lambda: simulator.hanging == 1)
        assert not waiting.done()
        simulator.release()
        assert waiting.result(TIMEOUT).status_code == 200
    assert simulator.hanging == 0


def test_holds_is_true_for_the_hanging_client_only(simulator: Simulator, client: ApiClient) -> None:
    client.submit("users")
    simulator.inject(Hang().on("events", "submit"))
    with socket.create_connection(("127.0.0.1", urlsplit(simulator.url).port or 0)) as hung:
        headers = "".join(f"{name}: {text}\r\n" for name, text in simulator.headers().items())
        target = f"/data/v1/events?{urlencode(EVERYTHING)}"
        hung.sendall(f"POST {target} HTTP/1.1\r\n{headers}\r\n".encode())
        wait_until(lambda: simulator.hanging == 1)
        address = hung.getsockname()
        assert simulator.holds(address)
        assert not simulator.holds((address[0], address[1] - 1))
        simulator.release()
        assert b" 200 OK" in hung.recv(1000)
    assert not simulator.holds(address)


def test_client_that_gave_up_does_not_affect_the_next(
    simulator: Simulator, client: ApiClient
) -> None:
    simulator.inject(Hang().on("events", "submit"))
    with pytest.raises(requests.ReadTimeout):
        client.session.post(f"{client.url}/events", params=EVERYTHING, timeout=0.05)
    wait_until(lambda: simulator.hanging == 1)  # perhaps only now, on a busy machine
    assert client.post("events").status_code == 200


def test_close_ends_idle_and_hanging_connections_and_all_threads(dataset: Dataset) -> None:
    before = set(threading.enumerate())
    simulator = Simulator(dataset)
    client = ApiClient(simulator)
    client.submit("users")
    simulator.inject(Hang().on("events"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ApiClient(simulator).post, "events")
        wait_until(lambda: simulator.hanging == 1)
        started = time.monotonic()
        simulator.close()
        assert time.monotonic() - started < TIMEOUT
        with pytest.raises(requests.ConnectionError):
            waiting.result(TIMEOUT)
    simulator.close()
    assert set(threading.enumerate()) <= before
    assert simulator.errors == []
    with pytest.raises(requests.ConnectionError):
        client.post("users")


def test_delayed_pages_wait_concurrently_until_close(dataset: Dataset) -> None:
    with Simulator(dataset, page_seconds=12 * TIMEOUT) as simulator, ThreadPoolExecutor(3) as pool:
        clients = [ApiClient(simulator) for _ in range(3)]
        queries = [client.submit("events") for client in clients]
        waiting = [
            pool.submit(client.get, "events", query)
            for client, query in zip(clients, queries, strict=True)
        ]
        wait_until(lambda: [r.phase for r in simulator.requests].count("first_page") == 3)
        assert ApiClient(simulator).post("users").status_code == 200
        simulator.release()
        assert simulator.hanging == 0
        assert not any(page.done() for page in waiting)
        started = time.monotonic()
        simulator.close()
        assert time.monotonic() - started < TIMEOUT
        for page in waiting:
            with pytest.raises(requests.ConnectionError):
                page.result(TIMEOUT)


def test_client_that_disconnects_is_not_an_error(
    dataset: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset["events"][0]["description"] = "x" * 30_000_000
    with Simulator(dataset) as simulator:
        client = ApiClient(simulator)
        query_id = client.submit("events")
        with client.session.get(
            f"{client.url}/events", params={"queryId": query_id}, stream=True, timeout=TIMEOUT
        ) as response:
            response.raw.read(10)
            response.raw.close()
        client.session.close()
        assert ApiClient(simulator).post("users").status_code == 200
    assert simulator.errors == []
    assert capfd.readouterr() == ("", "")


def test_error_inside_the_simulator_is_raised_on_exit(dataset: Dataset) -> None:
    dataset["events"][0]["description"] = object()

    def submit() -> None:
        with Simulator(dataset) as simulator:
            with pytest.raises(requests.ConnectionError):
                ApiClient(simulator).post("events")
            assert len(simulator.errors) == 1

    with pytest.raises(TypeError, match="JSON serializable"):
        submit()
