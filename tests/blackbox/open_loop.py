"""Load that does not slow down when the server does: requests at a steady rate, each on a free kept-alive connection or a new one.

    with OpenLoop(proxyd.address, "hello") as load:   # a thread of its own, raw asyncio
        answers = load.run(rate=200, seconds=5)       # [Answer(at, status, took, headers)], also the late ones
        answers = load.closed(clients=10, seconds=2)  # each client sends when its answer has come
"""
import asyncio
import collections
import threading
import time

Answer = collections.namedtuple("Answer", "at status took headers")  # at: when the answer was whole, monotonic


class OpenLoop:
    def __init__(self, address, name, path="/"):
        self.address = address
        self.request = f"GET {path} HTTP/1.1\r\nHost: {name}.localhost\r\n\r\n".encode()
        self.idle, self.answers = [], []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def run(self, rate, seconds):
        return self._wait(self._run(rate, seconds), seconds)

    def closed(self, clients, seconds):
        return self._wait(self._closed(clients, seconds), seconds)

    def start(self, rate, seconds):
        """As run, in the background: a future."""
        return asyncio.run_coroutine_threadsafe(self._run(rate, seconds), self.loop)

    def _wait(self, work, seconds):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds + 60)

    async def _run(self, rate, seconds):
        self.answers, begin, tasks = [], time.monotonic(), []
        for number in range(int(rate * seconds)):
            delay = begin + number / rate - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            tasks.append(asyncio.ensure_future(self._one()))
        await asyncio.gather(*tasks)
        return self.answers

    async def _closed(self, clients, seconds):
        self.answers, end = [], time.monotonic() + seconds

        async def client():
            while time.monotonic() < end:
                await self._one()

        await asyncio.gather(*[client() for _ in range(clients)])
        return self.answers

    async def _one(self):
        started = time.monotonic()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(*self.address)
        writer.write(self.request)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        await reader.readexactly(int(headers["content-length"]))
        now = time.monotonic()
        self.answers.append(Answer(now, int(lines[0].split()[1]), now - started, headers))
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self.idle.append((reader, writer))

    async def _close(self):
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()
        await asyncio.sleep(0)


def percentile(answers, percent):
    took = sorted(answer.took for answer in answers)
    return took[min(len(took) - 1, int(len(took) * percent / 100))]
